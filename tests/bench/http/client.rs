//! A cheap HTTP client: a kept-alive connection, requests built beforehand, answers read into one buffer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The prefix of MLflow's API on both servers.
const PREFIX: &str = "/api/2.0/mlflow";

/// A request as bytes on the wire.
pub type Wire = Vec<u8>;

/// A GET request; `query` holds names and values.
pub fn get(path: &str, query: &[(&str, &str)]) -> Wire {
    let query: Vec<String> = query.iter().map(|(k, v)| format!("{k}={}", encoded(v))).collect();
    format!("GET {PREFIX}/{path}?{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", query.join("&")).into_bytes()
}

/// A POST request with a JSON body.
pub fn post(path: &str, body: &Value) -> Wire {
    let body = body.to_string();
    let head = format!("POST {PREFIX}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A kept-alive connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to a server.
    pub fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, buffer: Vec::with_capacity(1 << 16) })
    }

    /// Sends a request.
    pub fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads the answer to the oldest unanswered request and returns its status; the answer stays in the buffer.
    pub fn receive(&mut self) -> std::io::Result<u16> {
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let text = std::str::from_utf8(&self.buffer[..head]).map_err(std::io::Error::other)?.to_ascii_lowercase();
        let header = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        let status = text.get(9..12).and_then(|s| s.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
        match header("content-length").map(str::parse::<usize>) {
            Some(Ok(length)) => {
                while self.buffer.len() < head + length {
                    self.more()?;
                }
            }
            // A chunked body: the last chunk is empty.
            Some(Err(_)) | None => {
                while !self.buffer.ends_with(b"0\r\n\r\n") {
                    self.more()?;
                }
            }
        }
        Ok(status)
    }

    fn more(&mut self) -> std::io::Result<()> {
        let mut part = [0; 1 << 16];
        match self.stream.read(&mut part)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&part[..n]);
                Ok(())
            }
        }
    }

    /// Sends a request, demands success, and returns the time it took.
    pub fn ask(&mut self, request: &[u8]) -> Duration {
        let start = Instant::now();
        let status = self.send(request).and_then(|()| self.receive());
        let took = start.elapsed();
        self.is_fine(|| request.to_vec(), status);
        took
    }

    fn is_fine(&self, request: impl FnOnce() -> Wire, status: std::io::Result<u16>) {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(matches!(status, Ok(200)), "{status:?}: {} {}", shown(&request()), shown(&self.buffer));
    }

    /// The size of the last answer in bytes.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }
}

/// Answers per second for many clients, each of which sends its next request when it has its answer. A few threads
/// drive all clients: each thread sends for its share of the connections, then reads the answers, so that the server
/// has the cores. `request` gets the client's number and the number of its requests so far.
pub fn rate(address: &str, clients: usize, seconds: f64, request: impl Fn(usize, usize) -> Wire + Sync) -> f64 {
    let threads = clients.min(2);
    let start = Instant::now();
    let drive = |thread: usize| {
        let own: Vec<usize> = (0..clients).filter(|c| c % threads == thread).collect();
        let connect = |_: &usize| Client::connect(address).expect("a connection");
        let mut connections: Vec<Client> = own.iter().map(connect).collect();
        let mut done = 0;
        for round in 0.. {
            for (client, connection) in own.iter().zip(&mut connections) {
                connection.send(&request(*client, round)).expect("sent");
            }
            for (client, connection) in own.iter().zip(&mut connections) {
                let status = connection.receive();
                connection.is_fine(|| request(*client, round), status);
                done += 1;
            }
            if start.elapsed().as_secs_f64() > seconds {
                break;
            }
        }
        done
    };
    let done: usize = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|t| {
                scope.spawn({
                    let drive = &drive;
                    move || drive(t)
                })
            })
            .collect();
        running.into_iter().map(|r| r.join().expect("a driver ends")).sum()
    });
    let elapsed = start.elapsed();
    done as f64 / elapsed.as_secs_f64()
}
