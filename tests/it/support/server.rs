//! A served registry, and requests to it as bytes on the wire.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Shell;

/// The path prefix of MLflow's API.
pub const MLFLOW: &str = "/api/2.0/mlflow";

/// A `greenroom serve` process that ends when its value is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Server {
    /// Serves the registry in the shell's folder on a free port; `log` is the file for its standard error.
    #[track_caller]
    pub fn start(shell: &Shell<'_>, log: PathBuf, options: &[&str]) -> Self {
        let mut command = shell.command(env!("CARGO_BIN_EXE_greenroom"));
        command.args(["serve", "--bind", "127.0.0.1:0", "--log-requests"]).args(options);
        let errors = fs::OpenOptions::new().create(true).append(true).open(&log).expect("the log can be written");
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("greenroom runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it serves");
        let address = line.trim_end().strip_prefix("Serving the registry at http://");
        let Some(address) = address.map(str::to_owned) else {
            let _ = child.wait();
            panic!("it said {line:?} and {}", fs::read_to_string(&log).unwrap_or_default());
        };
        Self { child, address, log }
    }

    /// Opens a connection to the server and sends some bytes.
    #[track_caller]
    pub fn connect(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        stream.write_all(bytes).expect("it takes bytes");
        stream
    }

    /// The address and port that the server listens on.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The standard error of the server so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log is there")
    }

    /// A `GET` request.
    pub fn get(&self, path: &str) -> Request<'_> {
        Request { server: self, method: "GET", path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A request without a body.
    pub fn request(&self, method: &'static str, path: &str) -> Request<'_> {
        Request { method, ..self.get(path) }
    }

    /// A request with a JSON body.
    pub fn send(&self, method: &'static str, path: &str, body: &Value) -> Request<'_> {
        let request = Request { method, body: body.to_string().into_bytes(), ..self.get(path) };
        request.header("Content-Type", "application/json")
    }

    /// A `POST` request to MLflow's API.
    pub fn post(&self, path: &str, body: &Value) -> Request<'_> {
        self.send("POST", &format!("{MLFLOW}/{path}"), body)
    }

    /// Sends a signal by name.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills the server, as a power failure would.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }

    /// Waits until the server ends.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request to be sent.
#[derive(Debug, Clone)]
#[must_use = "send it with .answer() or .json(status)"]
pub struct Request<'s> {
    server: &'s Server,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request<'_> {
    /// Adds a header; a name can occur several times.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes the method.
    pub fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Authenticates with a token.
    pub fn by(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sends the request and reads the answer; an error if the server closed the connection.
    pub fn try_answer(&self) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.server.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.server.address()));
        }
        for (name, value) in self.headers.iter().filter(|(_, value)| !value.is_empty()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        // The server may refuse a body without reading it to its end.
        let _ = stream.write_all(&self.body);
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        Answer::read(&bytes).ok_or_else(|| read.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()))
    }

    /// Sends the request and reads the answer.
    #[track_caller]
    pub fn answer(&self) -> Answer {
        self.try_answer().unwrap_or_else(|e| panic!("{} {}: {e}\n{}", self.method, self.path, self.server.log()))
    }

    /// Sends the request, demands a status, and returns the JSON of the answer.
    #[track_caller]
    pub fn json(&self, status: u16) -> Value {
        let answer = self.answer();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{} {}: {text}", self.method, self.path);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{} {}: {e}: {text}", self.method, self.path))
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer that ends with the connection.
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |l: &str| l.split_once(": ").map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()));
        let headers: Vec<_> = lines.filter_map(header).collect();
        let length = headers.iter().find(|(k, _)| k == "content-length").and_then(|(_, v)| v.parse().ok());
        let body = bytes.get(end + 4..)?;
        // A truncated answer does not count.
        if length.is_some_and(|length: usize| body.len() < length) {
            return None;
        }
        Some(Self { status, headers, body: body.to_vec() })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}
