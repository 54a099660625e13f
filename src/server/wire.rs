//! What comes in on a connection, looked at before it is taken for HTTP: heads that two programs could read differently
//! are refused (SEC-41), and who takes too long for a head, or hardly takes what is sent, is cut off (SEC-40).
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

/// How long a client may take from connecting to the first byte of its first head.
const FIRST_TIME: Duration = Duration::from_secs(15);

/// How long a client may pause within a head.
const GAP_TIME: Duration = Duration::from_secs(5);

/// How many bytes a second a client must take in the time that is spent waiting for it.
const MIN_RATE: u64 = 1024;

/// After how much waiting for a client that rate is looked at.
const WINDOW: Duration = Duration::from_secs(60);

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
    /// Whether any head has begun.
    begun: bool,
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
        Self { state: Place::Head, head: Vec::new(), begun: false }
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
        self.begun = true;
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
    /// Since when nothing more of that head came.
    gap: Arc<Since>,
    /// Since when nothing of a first head came.
    silence: Arc<Since>,
    /// Since when the client takes nothing of what is to be sent.
    stall: Arc<Since>,
    /// What the client took.
    taken: Arc<Taken>,
}

/// How much a client took, and how long it was waited for.
#[derive(Debug, Default)]
struct Taken {
    bytes: AtomicU64,
    /// In milliseconds, of the waits that are over.
    waited: AtomicU64,
}

/// Where the look at what a client takes began: bytes, and milliseconds of waiting.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    bytes: u64,
    waited: u64,
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

    /// The same, and what lasts begins anew.
    fn renew(&self, lasts: bool, begun: Instant) {
        self.0.store(0, Ordering::Relaxed);
        self.note(lasts, begun);
    }

    fn is_over(&self, begun: Instant, time: Duration) -> bool {
        let since = self.0.load(Ordering::Relaxed);
        since != 0 && begun.elapsed() > time.saturating_add(Duration::from_millis(since))
    }

    /// For how many milliseconds it lasts.
    fn lasted(&self, begun: Instant) -> u64 {
        let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.0.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_add(1).saturating_sub(since),
        }
    }
}

impl Pace {
    fn new(begun: Instant) -> Self {
        let silence = Since::default();
        silence.note(true, begun);
        let (head, gap, stall, taken) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Self { begun, head, gap, silence: Arc::new(silence), stall, taken }
    }

    fn is_too_slow(&self) -> bool {
        let over = |since: &Since, time| since.is_over(self.begun, time);
        over(&self.silence, FIRST_TIME)
            || over(&self.head, HEAD_TIME)
            || over(&self.gap, GAP_TIME)
            || over(&self.stall, STALL_TIME)
    }

    /// Notes how far the heads came.
    fn heard(&self, heads: &Heads) {
        self.silence.note(!heads.begun, self.begun);
        self.head.note(heads.is_within_head(), self.begun);
        self.gap.renew(heads.is_within_head(), self.begun);
    }

    /// Passes on what became of sending something, and notes whether it waits for the client.
    fn sent(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &sent {
            self.taken.bytes.fetch_add(*bytes as u64, Ordering::Relaxed);
            let waited = self.stall.lasted(self.begun);
            if waited != 0 {
                self.taken.waited.fetch_add(waited, Ordering::Relaxed);
            }
        }
        self.stall.note(sent.is_pending(), self.begun);
        sent
    }

    /// Whether the client takes what is sent, but hardly; begins to look anew when it was waited for long enough to say.
    fn is_trickling(&self, from: &mut Look) -> bool {
        let waited = self.taken.waited.load(Ordering::Relaxed).saturating_add(self.stall.lasted(self.begun));
        let now = Look { bytes: self.taken.bytes.load(Ordering::Relaxed), waited };
        let waited = Duration::from_millis(now.waited.saturating_sub(from.waited));
        if waited < WINDOW {
            return false;
        }
        let took = now.bytes.saturating_sub(from.bytes);
        *from = now;
        took < MIN_RATE.saturating_mul(waited.as_secs())
    }

    /// Ends when nothing came at first, a head took too long, or the client took too little for too long.
    pub async fn too_slow(self) {
        let mut look = Look::default();
        while !self.is_too_slow() && !self.is_trickling(&mut look) {
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
        this.pace.heard(&this.heads);
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
        pace.silence.note(false, pace.begun);
        assert!(pace.is_too_slow());
        let mut taken = vec![0; 8 << 20];
        while write(&mut wire).await.is_err() {
            let _ = client.read(&mut taken).await.unwrap();
        }
        assert!(since(&pace) == 0 && !pace.is_too_slow(), "it took something");
    }

    #[test]
    fn a_head_has_a_time_to_begin_a_time_between_its_bytes_and_a_time_to_end() {
        let long_ago = Instant::now().checked_sub(IDLE).unwrap();
        let silent = Pace::new(long_ago);
        silent.silence.0.store(1, Ordering::Relaxed);
        assert!(silent.is_too_slow(), "nothing ever came");
        let mut heads = Heads::new();
        heads.feed(b"\r\n\r\n").unwrap();
        silent.heard(&heads);
        assert!(silent.is_too_slow(), "empty lines are no head");
        heads.feed(b"GET / HT").unwrap();
        silent.heard(&heads);
        assert!(!silent.is_too_slow(), "it began");
        silent.gap.0.store(1, Ordering::Relaxed);
        assert!(silent.is_too_slow(), "it pauses");
        heads.feed(b"TP/1.1\r\n").unwrap();
        silent.heard(&heads);
        assert!(!silent.is_too_slow(), "it goes on");
        silent.head.0.store(1, Ordering::Relaxed);
        assert!(silent.is_too_slow(), "it does not end");
        heads.feed(b"\r\n").unwrap();
        silent.heard(&heads);
        assert!(!silent.is_too_slow(), "a connection between two requests is for others to close");
    }

    #[test]
    fn who_takes_little_in_much_time_is_told_from_who_is_sent_little() {
        let pace = Pace::new(Instant::now());
        let (mut look, long) = (Look::default(), 2 * 60 * 1000);
        pace.taken.bytes.store(4 << 20, Ordering::Relaxed);
        assert!(!pace.is_trickling(&mut look), "nobody waited");
        pace.taken.waited.store(long, Ordering::Relaxed);
        assert!(!pace.is_trickling(&mut look), "it took much in that time");
        pace.taken.bytes.fetch_add(64, Ordering::Relaxed);
        assert!(!pace.is_trickling(&mut look), "nobody waited since");
        pace.taken.waited.fetch_add(long, Ordering::Relaxed);
        assert!(pace.is_trickling(&mut look));
    }

    const IDLE: Duration = Duration::from_secs(3600);

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
