//! Checks the bytes of a connection before the HTTP library parses them. Request heads that two programs could parse
//! differently are refused. A client that takes too long to send a head, or hardly accepts the response, is
//! disconnected.
//!
//! The HTTP library is lenient where the standard permits it. A proxy in front may be lenient in another way. Then one
//! of the two sees a request where the other sees a body (request smuggling). So each line must end in CR LF, no line
//! may be continued on the next one, and the length of a body must be given once.

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

/// The minimum rate at which a client must accept the response, in bytes per second, while the server waits.
const MIN_RATE: u64 = 1024;

/// The waiting time after which that rate is checked.
const WINDOW: Duration = Duration::from_secs(60);

/// How long a client may accept no byte of the response.
const STALL_TIME: Duration = Duration::from_secs(60);

/// A head longer than this is left to the library, which refuses it as too large, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The response to a refused head.
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Follows the bytes of a connection from head to head.
#[derive(Debug)]
struct HeadParser {
    state: ParsePosition,
    head: Vec<u8>,
    /// Whether any head has started.
    begun: bool,
}

/// The position within the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParsePosition {
    Head,
    /// The number of bytes of a body that are still to come.
    Body(u64),
    /// The rest is not checked: the connection ends after this request.
    Rest,
}

/// A head that could be parsed in more than one way.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous;

impl HeadParser {
    fn new() -> Self {
        Self { state: ParsePosition::Head, head: Vec::new(), begun: false }
    }

    /// Returns whether a head has started and not ended.
    fn is_within_head(&self) -> bool {
        self.state == ParsePosition::Head && !self.head.is_empty()
    }

    /// Processes received bytes.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Ambiguous> {
        while let Some(&first) = bytes.first() {
            match self.state {
                ParsePosition::Rest => return Ok(()),
                ParsePosition::Body(left) => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(now..).unwrap_or_default();
                    let left = left - now as u64;
                    self.state = if left == 0 { ParsePosition::Head } else { ParsePosition::Body(left) };
                }
                // An empty line before a request is ignored.
                ParsePosition::Head if self.head.is_empty() && matches!(first, b'\r' | b'\n') => {
                    bytes = bytes.get(1..).unwrap_or_default();
                }
                ParsePosition::Head => {
                    bytes = bytes.get(1..).unwrap_or_default();
                    self.take(first)?;
                }
            }
        }
        Ok(())
    }

    /// Processes one byte of a head.
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
            self.state = ParsePosition::Rest;
        }
        Ok(())
    }
}

/// Returns what follows a head.
fn body_of(head: &[u8]) -> Result<ParsePosition, Ambiguous> {
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
        (None, true) => Ok(ParsePosition::Rest),
        (None | Some(0), false) => Ok(ParsePosition::Head),
        (Some(length), false) => Ok(ParsePosition::Body(length)),
    }
}

/// Detects whether a client is too slow.
#[derive(Debug, Clone)]
pub struct SendPace {
    begun: Instant,
    /// Since when a head is being received.
    head: Arc<ElapsedMark>,
    /// Since when no byte of that head has come.
    gap: Arc<ElapsedMark>,
    /// Since when no byte of a first head has come.
    silence: Arc<ElapsedMark>,
    /// Since when the client has accepted no byte of the response.
    stall: Arc<ElapsedMark>,
    /// The bytes that the client accepted.
    taken: Arc<SendProgress>,
}

/// The bytes that a client accepted, and the time that the server waited for it.
#[derive(Debug, Default)]
struct SendProgress {
    bytes: AtomicU64,
    /// The completed waits, in milliseconds.
    waited: AtomicU64,
}

/// The values at the start of a check: bytes, and milliseconds of waiting.
#[derive(Debug, Clone, Copy, Default)]
struct SendMark {
    bytes: u64,
    waited: u64,
}

/// The start of a condition, in milliseconds since the connection started, plus one; 0 while the condition is false.
#[derive(Debug, Default)]
struct ElapsedMark(AtomicU64);

impl ElapsedMark {
    fn note(&self, lasts: bool, begun: Instant) {
        if !lasts {
            self.0.store(0, Ordering::Relaxed);
        } else if self.0.load(Ordering::Relaxed) == 0 {
            let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.store(now.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Sets the condition and restarts its time.
    fn renew(&self, lasts: bool, begun: Instant) {
        self.0.store(0, Ordering::Relaxed);
        self.note(lasts, begun);
    }

    fn is_over(&self, begun: Instant, time: Duration) -> bool {
        let since = self.0.load(Ordering::Relaxed);
        since != 0 && begun.elapsed() > time.saturating_add(Duration::from_millis(since))
    }

    /// Returns how long the condition has lasted, in milliseconds.
    fn lasted(&self, begun: Instant) -> u64 {
        let now = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.0.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_add(1).saturating_sub(since),
        }
    }
}

impl SendPace {
    fn new(begun: Instant) -> Self {
        let silence = ElapsedMark::default();
        silence.note(true, begun);
        let (head, gap, stall, taken) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Self { begun, head, gap, silence: Arc::new(silence), stall, taken }
    }

    fn is_too_slow(&self) -> bool {
        let over = |since: &ElapsedMark, time| since.is_over(self.begun, time);
        over(&self.silence, FIRST_TIME)
            || over(&self.head, HEAD_TIME)
            || over(&self.gap, GAP_TIME)
            || over(&self.stall, STALL_TIME)
    }

    /// Records the progress of the heads.
    fn heard(&self, heads: &HeadParser) {
        self.silence.note(!heads.begun, self.begun);
        self.head.note(heads.is_within_head(), self.begun);
        self.gap.renew(heads.is_within_head(), self.begun);
    }

    /// Passes on the result of a write, and records whether it waits for the client.
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

    /// Returns whether the client accepts bytes, but too slowly. Starts a new check when the server has waited long
    /// enough to decide.
    fn is_trickling(&self, from: &mut SendMark) -> bool {
        let waited = self.taken.waited.load(Ordering::Relaxed).saturating_add(self.stall.lasted(self.begun));
        let now = SendMark { bytes: self.taken.bytes.load(Ordering::Relaxed), waited };
        let waited = Duration::from_millis(now.waited.saturating_sub(from.waited));
        if waited < WINDOW {
            return false;
        }
        let took = now.bytes.saturating_sub(from.bytes);
        *from = now;
        took < MIN_RATE.saturating_mul(waited.as_secs())
    }

    /// Ends when no first byte came, a head took too long, or the client accepted too little for too long.
    pub async fn too_slow(self) {
        let mut look = SendMark::default();
        while !self.is_too_slow() && !self.is_trickling(&mut look) {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

/// A connection whose request heads are checked.
#[derive(Debug)]
pub struct GuardedConnection {
    stream: TcpStream,
    heads: HeadParser,
    pace: SendPace,
}

impl GuardedConnection {
    /// Wraps a connection.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, heads: HeadParser::new(), pace: SendPace::new(Instant::now()) }
    }

    /// Returns the detector of slow clients.
    pub fn pace(&self) -> SendPace {
        self.pace.clone()
    }
}

impl AsyncRead for GuardedConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        if this.heads.feed(came).is_err() {
            // The client may get this response at once; no other response is due.
            let _ = this.stream.try_write(REFUSAL);
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData)));
        }
        this.pace.heard(&this.heads);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedConnection {
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
        // Written bytes are with the operating system already, so a flush says nothing about the client.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes in pieces of each size. The result must not depend on the size.
    fn fed(bytes: &[u8]) -> Result<ParsePosition, Ambiguous> {
        let run = |size: usize| {
            let mut heads = HeadParser::new();
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
        let mut wire = GuardedConnection::new(listener.accept().await.unwrap().0);
        // It started long ago, so that no test needs to wait.
        wire.pace = SendPace::new(Instant::now().checked_sub(STALL_TIME * 2).unwrap());
        let pace = wire.pace();
        let since = |pace: &SendPace| pace.stall.0.load(Ordering::Relaxed);
        let piece = vec![0; 1 << 20];
        let write = async |wire: &mut GuardedConnection| {
            tokio::time::timeout(Duration::from_millis(200), wire.write(&piece)).await
        };
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
        let silent = SendPace::new(long_ago);
        silent.silence.0.store(1, Ordering::Relaxed);
        assert!(silent.is_too_slow(), "nothing ever came");
        let mut heads = HeadParser::new();
        heads.feed(b"\r\n\r\n").unwrap();
        silent.heard(&heads);
        assert!(silent.is_too_slow(), "empty lines are not a head");
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
        let pace = SendPace::new(Instant::now());
        let (mut look, long) = (SendMark::default(), 2 * 60 * 1000);
        pace.taken.bytes.store(4 << 20, Ordering::Relaxed);
        assert!(!pace.is_trickling(&mut look), "the server did not wait");
        pace.taken.waited.store(long, Ordering::Relaxed);
        assert!(!pace.is_trickling(&mut look), "it took much in that time");
        pace.taken.bytes.fetch_add(64, Ordering::Relaxed);
        assert!(!pace.is_trickling(&mut look), "the server did not wait since");
        pace.taken.waited.fetch_add(long, Ordering::Relaxed);
        assert!(pace.is_trickling(&mut look));
    }

    const IDLE: Duration = Duration::from_secs(3600);

    #[test]
    fn sound_requests_pass_one_after_the_other() {
        assert_eq!(fed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(ParsePosition::Head));
        assert_eq!(fed(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"), Ok(ParsePosition::Body(1)));
        let two = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\n\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(fed(two), Ok(ParsePosition::Head));
        assert_eq!(fed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n"), Ok(ParsePosition::Rest));
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
