//! An HTTP receiver that fails as scripted: it fails, stalls, hangs up, dies and comes back on the same port. It
//! records every request that it read.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// A received request.
#[derive(Debug, Clone)]
pub struct Received {
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// The status of the answer; 0 if the connection was cut instead.
    pub status: u16,
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// The reaction to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answer with this status.
    Status(u16),
    /// Answer with this status and a header.
    With(u16, &'static str, String),
    /// Wait this long, then answer 200.
    Late(Duration),
    /// Hang up without an answer, although the request was read.
    HangUp,
}

type Script = dyn Fn(&Received, usize) -> Reply + Send + Sync;

/// A receiver; it stops when its value is dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    seen: Mutex<Vec<Received>>,
    more: Condvar,
    script: Mutex<Arc<Script>>,
    up: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Receiver {
    /// A receiver that answers each request with 200.
    pub fn start() -> Self {
        Self::scripted(|_, _| Reply::Status(200))
    }

    /// A receiver that reacts as the script says. The script gets the request and the number of earlier requests.
    pub fn scripted(script: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            more: Condvar::new(),
            script: Mutex::new(Arc::new(script)),
            up: AtomicBool::new(true),
            open: Mutex::default(),
        });
        let receiver = Self { shared, address };
        receiver.serve(listener);
        receiver
    }

    fn serve(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if !shared.up.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                if let Ok(copy) = stream.try_clone() {
                    shared.open.lock().expect("no thread failed").push(copy);
                }
                thread::spawn(move || {
                    let _ = shared.converse(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
    }

    /// Replaces the script from now on.
    pub fn script(&self, script: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().expect("no thread failed") = Arc::new(script);
    }

    /// The URL of the receiver: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Dies: the port is closed, and open connections are cut.
    pub fn die(&self) {
        if self.shared.up.swap(false, Ordering::SeqCst) {
            // The accepting thread checks for the end only when a connection arrives.
            let _ = TcpStream::connect(self.address);
            for stream in self.shared.open.lock().expect("no thread failed").drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Comes back on the same port.
    pub fn rise(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(e) => assert!(Instant::now() < deadline, "the port is taken: {e}"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        self.shared.up.store(true, Ordering::SeqCst);
        self.serve(listener);
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Received> {
        self.lock().clone()
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Received>> {
        self.shared.seen.lock().expect("no thread failed")
    }

    /// Waits until the requests are as wanted, a minute at most; returns them.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut seen = self.lock();
        while !wanted(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {what}; {} requests came", seen.len());
            seen = self.shared.more.wait_timeout(seen, left).expect("no thread failed").0;
        }
        seen.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.die();
    }
}

impl Shared {
    /// Reads requests and answers them until the client, or the script, hangs up.
    fn converse(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(mut request) = read(&mut reader)? {
            let script = Arc::clone(&self.script.lock().expect("no thread failed"));
            let reply = {
                let mut seen = self.seen.lock().expect("no thread failed");
                let reply = script(&request, seen.len());
                request.status = match &reply {
                    Reply::Status(status) | Reply::With(status, ..) => *status,
                    Reply::Late(_) => 200,
                    Reply::HangUp => 0,
                };
                seen.push(request);
                self.more.notify_all();
                reply
            };
            let (status, header) = match reply {
                Reply::Status(status) => (status, String::new()),
                Reply::With(status, name, value) => (status, format!("{name}: {value}\r\n")),
                Reply::Late(wait) => {
                    thread::sleep(wait);
                    (200, String::new())
                }
                Reply::HangUp => return Ok(()),
            };
            let mut stream = stream;
            stream.write_all(format!("HTTP/1.1 {status} X\r\n{header}Content-Length: 2\r\n\r\nok").as_bytes())?;
        }
        Ok(())
    }
}

/// Reads a request; `None` if the connection ended before the next one.
fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Received { headers, body, status: 0 }))
}
