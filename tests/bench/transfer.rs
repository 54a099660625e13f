//! Model files over HTTP: a client process sends a file of 1 GiB, registers it as a version, and fetches it, over
//! loopback. The floors: this machine's time to write and sync, and to hash, the same number of bytes.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::measure::{quietly, row};

/// The number of bytes sent and fetched at a time.
const CHUNK: usize = 1 << 20;

/// The number of runs of each measurement; the median counts.
const RUNS: u32 = 5;

/// A server that ends when its value is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command.arg("-C").arg(dir).args(["serve", "--bind", "127.0.0.1:0"]);
        identity(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("greenroom runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it serves");
        let address = line.trim().rsplit("http://").next().expect("an address").to_owned();
        Self { child, address }
    }

    /// Sends a request whose body repeats the chunk `times` times; returns the head of the answer and the stream for
    /// the rest.
    fn ask(&self, head: &str, chunk: &[u8], times: usize) -> (String, BufReader<TcpStream>) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let length = chunk.len() * times;
        let head = format!("{head} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).expect("it takes the head");
        for _ in 0..times {
            stream.write_all(chunk).expect("it takes the body");
        }
        let mut from = BufReader::with_capacity(CHUNK, stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(from.read_line(&mut head).expect("an answer"), 0, "the server went away: {head}");
        }
        (head, from)
    }

    /// Sends a request with a small JSON body; returns the JSON of the answer.
    fn json(&self, method: &str, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let (bytes, head) = (body.to_string(), format!("{method} {path}"));
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let (host, length) = (&self.address, bytes.len());
        let head = format!(
            "{head} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{bytes}"
        );
        stream.write_all(head.as_bytes()).expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).expect("JSON")
    }

    /// The peak and the current resident memory, in MiB.
    fn memory(&self) -> Option<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
        };
        Some((field("VmHWM:")?, field("VmRSS:")?))
    }
}

fn identity(command: &mut Command) {
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Alice").env(format!("GIT_{role}_EMAIL"), "alice@example.com");
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
}

/// Incompressible bytes.
fn noise() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut chunk = vec![0_u8; CHUNK];
    for word in chunk.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    chunk
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// The median time of several runs; each run gets its number.
fn times(mut run: impl FnMut(u32)) -> f64 {
    let timed = |n| {
        let begun = Instant::now();
        run(n);
        begun.elapsed()
    };
    median((0..RUNS).map(timed).collect())
}

/// Writes `count` chunks to a new file and syncs it: the floor of an upload.
fn written(path: &Path, chunk: &[u8], count: usize) {
    let mut file = File::create(path).expect("a file");
    for _ in 0..count {
        file.write_all(chunk).expect("room");
    }
    file.sync_all().expect("synced");
}

/// Sends, registers and fetches one large file.
pub fn transfer(temp: &Path, quick: bool) {
    let count: usize = if quick { 128 } else { 1024 };
    let megabytes = (count * CHUNK) as f64 / 1e6;
    let dir = temp.join("transfer");
    let mut init = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    identity(&mut init);
    quietly(init.arg("init").arg(&dir));
    let server = Server::start(&dir);
    let chunk = noise();
    let plain = dir.join(".git/plain");
    let files = "/api/2.0/mlflow-artifacts/artifacts";
    let floor = times(|_| {
        written(&plain, &chunk, count);
    });
    let hash = times(|_| quietly(Command::new("sha256sum").arg(&plain)));
    std::fs::remove_file(&plain).expect("removed");
    let idle = server.memory();
    let upload = |n: u32| {
        let (head, _) = server.ask(&format!("PUT {files}/uploads/{n:032x}/model.bin"), &chunk, count);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    };
    let sent = times(upload);
    server.json("POST", "/api/2.0/mlflow/registered-models/create", &serde_json::json!({ "name": "m" }));
    let source = serde_json::json!({ "name": "m", "source": format!("mlflow-artifacts:/uploads/{:032x}", 0) });
    let begun = Instant::now();
    server.json("POST", "/api/2.0/mlflow/model-versions/create", &source);
    let made = begun.elapsed().as_secs_f64() * 1e3;
    let uri =
        server.json("GET", "/api/2.0/mlflow/model-versions/get-download-uri?name=m&version=1", &serde_json::json!({}));
    let uri =
        uri["artifact_uri"].as_str().expect("a text").split_once(&server.address).expect("an address").1.to_owned();
    let mut buffer = vec![0; CHUNK];
    let fetched = times(|_| {
        let (head, mut from) = server.ask(&format!("GET {uri}/model.bin"), &[], 0);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut left = count * CHUNK;
        while left > 0 {
            let n = from.read(&mut buffer[..CHUNK.min(left)]).expect("bytes");
            assert_ne!(n, 0, "the server went away");
            left -= n;
        }
    });
    let speed = |seconds: f64| megabytes / seconds;
    let beside = format!("writing and syncing as much: {:.0} MB/s, sha256sum {:.0} MB/s", speed(floor), speed(hash));
    let size = (count * CHUNK) >> 20;
    let up = format!("{:.0} MB/s ({beside})", speed(sent));
    row(&format!("upload of {size} MiB, durable"), &up, "≥ 300 MB/s", Some(speed(sent) >= 300.0));
    row("a version made of it", &format!("{made:.1} ms"), "≤ 50 ms", Some(made <= 50.0));
    let down = format!("{:.0} MB/s, verified", speed(fetched));
    row(&format!("download of {size} MiB"), &down, "≥ 300 MB/s", Some(speed(fetched) >= 300.0));
    if let (Some((_, before)), Some((peak, _))) = (idle, server.memory()) {
        let text = format!("{peak:.0} MiB at most, {before:.0} MiB before");
        row("the server's memory meanwhile", &text, "≤ 64 MiB", Some(peak <= 64.0));
    }
    drop(server);
    std::fs::remove_dir_all(&dir).expect("removed");
}
