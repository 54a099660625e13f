//! A receiver of webhooks that records its requests and answers as the test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// The first line without the HTTP version: `POST /path`.
    pub line: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Got {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// The reaction of a receiver to a request.
type Answer = dyn Fn(&Got, &mut TcpStream) + Send + Sync;

/// A receiver that ends when its value is dropped.
pub struct Hooked {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    connections: Arc<AtomicUsize>,
}

impl Hooked {
    /// A receiver that answers with these bytes.
    pub fn saying(answer: &'static str) -> Self {
        Self::with(move |_, stream| {
            let _ = stream.write_all(answer.as_bytes());
        })
    }

    /// A receiver that answers with a status.
    pub fn with_status(status: u16) -> Self {
        Self::with(move |_, stream| {
            let _ = write!(stream, "HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nOK");
        })
    }

    /// A receiver that reacts with a closure.
    pub fn with(answer: impl Fn(&Got, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let got = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer): (_, Arc<Answer>) = (Arc::clone(&got), Arc::new(answer));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &kept, &*answer));
            }
        });
        Self { address, got, connections }
    }

    /// The address that the receiver listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the receiver.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Waits until `count` requests arrived, half a minute at most.
    #[track_caller]
    pub fn wait(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.got().len() < count {
            assert!(Instant::now() < end, "{} of {count} requests came", self.got().len());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The requests so far.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no thread fails with the lock held").clone()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The only request; panics if there is none, or more than one.
    #[track_caller]
    pub fn only(&self) -> Got {
        let got = self.got();
        assert_eq!(got.len(), 1, "{got:?}");
        got[0].clone()
    }
}

/// Answers the requests of a connection until it ends.
fn serve(stream: TcpStream, kept: &Mutex<Vec<Got>>, answer: &Answer) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(got) = read(&mut reader) {
        kept.lock().expect("no thread fails with the lock held").push(got.clone());
        answer(&got, &mut out);
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let header = |l: &String| l.split_once(": ").map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()));
    let headers: Vec<_> = lines.iter().skip(1).filter_map(header).collect();
    let length = headers.iter().find(|(k, _)| k == "content-length").and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Got { line, headers, body })
}
