//! What comes in on a connection, looked at before it is taken for HTTP: heads that two programs could read differently
//! are refused (SEC-41), and who takes too long for a head, or does not take what is sent, is cut off (SEC-40).
//!
//! The HTTP library is lenient where the standard lets it be. A proxy in front may be lenient in another way, and then
//! one of the two sees a request where the other sees a body. So lines end in CR LF and in nothing else, none is
//! continued on the next, and the length of a body is said once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long a client may take from the first byte of a head to its last.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what is sent to it.
const STALL_TIME: Duration = Duration::from_secs(60);

/// A head of which more than this was seen is left to the library, which refuses it as too large.
const MAX_HEAD: usize = 64 * 1024;

/// What a connection hears of a head that is refused.
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Follows the bytes of a connection from head to head.
#[derive(Debug)]
struct Heads {
    state: Place,
    head: Vec<u8>,
}

/// Where in the bytes a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// So many bytes of a body are to come.
    Body(u64),
    /// Nothing more is looked at: the connection ends after this request.
    Rest,
}

/// A head that could be read in more than one way.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous;

impl Heads {
    fn new() -> Self {
        Self { state: Place::Head, head: Vec::new() }
    }

    /// Whether a head has begun and not ended.
    fn is_within_head(&self) -> bool {
        self.state == Place::Head && !self.head.is_empty()
    }

    /// Takes in what came.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Ambiguous> {
        while let Some(&first) = bytes.first() {
            match self.state {
                Place::Rest => return Ok(()),
                Place::Body(left) => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(now..).unwrap_or_default();
                    let left = left - now as u64;
                    self.state = if left == 0 { Place::Head } else { Place::Body(left) };
                }
                // An empty line before a request means nothing.
                Place::Head if self.head.is_empty() && matches!(first, b'\r' | b'\n') => {
                    bytes = bytes.get(1..).unwrap_or_default();
                }
                Place::Head => {
                    bytes = bytes.get(1..).unwrap_or_default();
                    self.take(first)?;
                }
            }
        }
        Ok(())
    }

    /// Takes one byte of a head.
    fn take(&mut self, byte: u8) -> Result<(), Ambiguous> {
        let before = self.head.last().copied();
        let alone = (byte == b'\n') != (before == Some(b'\r'));
        if byte == 0 || alone {
            return Err(Ambiguous);
        }
        self.head.push(byte);
        if self.head.ends_with(b"\r\n\r\n") {
            self.state = body_of(&self.head)?;
            self.head.clear();
        } else if self.head.len() > MAX_HEAD {
            self.state = Place::Rest;
        }
        Ok(())
    }
}

/// What follows a head.
fn body_of(head: &[u8]) -> Result<Place, Ambiguous> {
    let (mut length, mut coded) = (None, false);
    for line in head.split(|b| *b == b'\n').skip(1).map(<[u8]>::trim_ascii_end).filter(|l| !l.is_empty()) {
        if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            return Err(Ambiguous);
        }
        let colon = line.iter().position(|b| *b == b':').ok_or(Ambiguous)?;
        let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        let value = value.trim_ascii();
        if name.trim_ascii_end().eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
            let parsed = digits.and_then(|v| v.parse::<u64>().ok()).ok_or(Ambiguous)?;
            if length.replace(parsed).is_some() {
                return Err(Ambiguous);
            }
        } else if name.trim_ascii_end().eq_ignore_ascii_case(b"transfer-encoding") {
            coded = true;
        }
    }
    match (length, coded) {
        (Some(_), true) => Err(Ambiguous),
        (None, true) => Ok(Place::Rest),
        (None | Some(0), false) => Ok(Place::Head),
        (Some(length), false) => Ok(Place::Body(length)),
    }
}

/// Tells whether a client takes too long.
#[derive(Debug, Clone)]
pub struct Pace {
    begun: Instant,
    /// Since when a head is coming.
    head: Arc<Since>,
    /// Since when the client takes nothing of what is to be sent.
    stall: Arc<Since>,
}

/// Since when something lasts, in milliseconds since the connection began, and one more; 0 while it doesn't.
#[derive(Debug, Default)]
struct Since(AtomicU64);

impl Since {
    fn note(&self, lasts: bool, begun: Instant) {
        if !lasts {
            self.0.store(0, Ordering::Relaxed);
        } else if self.0.load(Ordering::Relaxed) == 0 {
            let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.store(now.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn is_over(&self, begun: Instant, time: Duration) -> bool {
        let since = self.0.load(Ordering::Relaxed);
        since != 0 && begun.elapsed() > time.saturating_add(Duration::from_millis(since))
    }
}

impl Pace {
    fn new(begun: Instant) -> Self {
        Self { begun, head: Arc::default(), stall: Arc::default() }
    }

    fn is_too_slow(&self) -> bool {
        self.head.is_over(self.begun, HEAD_TIME) || self.stall.is_over(self.begun, STALL_TIME)
    }

    /// Passes on what became of sending something, and notes whether it waits for the client.
    fn sent<T>(&self, sent: Poll<T>) -> Poll<T> {
        self.stall.note(sent.is_pending(), self.begun);
        sent
    }

    /// Ends when a head took too long, or the client took nothing for too long.
    pub async fn too_slow(self) {
        while !self.is_too_slow() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

/// A connection whose heads are looked at.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    heads: Heads,
    pace: Pace,
}

impl Wire {
    /// Looks at what comes in on a connection.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, heads: Heads::new(), pace: Pace::new(Instant::now()) }
    }

    /// How fast the client is.
    pub fn pace(&self) -> Pace {
        self.pace.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        if this.heads.feed(came).is_err() {
            // Whoever sent that may be told so at once; nothing is owed for it.
            let _ = this.stream.try_write(REFUSAL);
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData)));
        }
        this.pace.head.note(this.heads.is_within_head(), this.pace.begun);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.pace.sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.pace.sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is with the system already; a flush says nothing of the client.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes in pieces of each size; what comes of it must not depend on the size.
    fn fed(bytes: &[u8]) -> Result<Place, Ambiguous> {
        let run = |size: usize| {
            let mut heads = Heads::new();
            bytes.chunks(size).try_for_each(|piece| heads.feed(piece)).map(|()| heads.state)
        };
        let whole = run(bytes.len());
        for size in 1..bytes.len() {
            assert_eq!(run(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[tokio::test]
    async fn who_takes_nothing_of_what_is_sent_is_too_slow_after_a_while() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        // It began long ago, so that no test needs to wait.
        wire.pace = Pace::new(Instant::now().checked_sub(STALL_TIME * 2).unwrap());
        let pace = wire.pace();
        let since = |pace: &Pace| pace.stall.0.load(Ordering::Relaxed);
        let piece = vec![0; 1 << 20];
        let write = async |wire: &mut Wire| tokio::time::timeout(Duration::from_millis(200), wire.write(&piece)).await;
        while write(&mut wire).await.is_ok() {}
        assert!(since(&pace) > 0 && !pace.is_too_slow(), "it has its time");
        wire.flush().await.unwrap();
        pace.stall.0.store(1, Ordering::Relaxed);
        assert!(pace.is_too_slow());
        let mut taken = vec![0; 8 << 20];
        while write(&mut wire).await.is_err() {
            let _ = client.read(&mut taken).await.unwrap();
        }
        assert!(since(&pace) == 0 && !pace.is_too_slow(), "it took something");
    }

    #[test]
    fn sound_requests_pass_one_after_the_other() {
        assert_eq!(fed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Place::Head));
        assert_eq!(fed(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"), Ok(Place::Body(1)));
        let two = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\n\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(fed(two), Ok(Place::Head));
        assert_eq!(fed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n"), Ok(Place::Rest));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\nHost: a\n\n"[..],
            b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\ncontent-length: 3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\n\n",
        ] {
            assert_eq!(fed(bad), Err(Ambiguous), "{}", String::from_utf8_lossy(bad));
        }
    }
}
