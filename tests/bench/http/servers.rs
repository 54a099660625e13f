//! The servers under measurement. Each is a process of its own that ends when its value is dropped.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Client, Wire};
use crate::support::{Sandbox, tools};

/// The argument that makes this program an empty server, without any logic.
pub const HELLO: &str = "--hello-at";

/// A running server.
pub struct Running {
    child: Child,
    /// The address that the server listens on.
    pub address: String,
    /// The time from the start to the first answer, in milliseconds.
    pub first_answer: f64,
}

impl Running {
    /// Starts a server on a free port and sends requests until it answers.
    fn start(mut command: Command, address: String, first: &Wire, pause: Duration) -> Self {
        let start = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the server starts");
        let answers = || Client::connect(&address).and_then(|mut c| c.send(first).and_then(|()| c.receive()));
        while !matches!(answers(), Ok(status) if status < 500) {
            assert!(matches!(child.try_wait(), Ok(None)), "{command:?} ended");
            assert!(start.elapsed() < Duration::from_secs(180), "{command:?} does not answer");
            std::thread::sleep(pause);
        }
        Self { child, address, first_answer: start.elapsed().as_secs_f64() * 1e3 }
    }

    /// `greenroom serve`, run by the person with this e-mail address.
    pub fn greenroom(sandbox: &Sandbox, dir: &Path, email: &str, first: &Wire) -> Self {
        let mut command = sandbox.shell("Alice", email).command(env!("CARGO_BIN_EXE_greenroom"));
        let address = free();
        command.arg("-C").arg(dir).args(["serve", "--bind", &address]);
        Self::start(command, address, first, Duration::from_millis(1))
    }

    /// `mlflow server` with SQLite and one worker.
    pub fn mlflow(sandbox: &Sandbox, first: &Wire) -> Self {
        let address = free();
        let port = address.rsplit(':').next().unwrap_or_default();
        let mut command = sandbox.alice().command(tools::python());
        let store = format!("sqlite:///{}", sandbox.path("mlflow.db").display());
        let artifacts = sandbox.path("artifacts").display().to_string();
        command.args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]);
        command.args(["--backend-store-uri", &store, "--artifacts-destination", &artifacts]);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stderr(Stdio::null());
        Self::start(command, address, first, Duration::from_millis(50))
    }

    /// The HTTP library of the server without any logic behind it: the floor.
    pub fn hello(first: &Wire) -> Self {
        let address = free();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([HELLO, &address]);
        Self::start(command, address, first, Duration::from_millis(1))
    }

    /// The number of processes of the server, children included, and their resident memory in MiB.
    pub fn memory(&self) -> (usize, f64) {
        let tree = tree(self.child.id());
        let kib: f64 = tree.iter().filter_map(|pid| field(*pid, "VmRSS:")).sum();
        (tree.len(), kib / 1024.0)
    }
}

impl Drop for Running {
    /// Stops the server as a supervisor would, and checks that it stops.
    fn drop(&mut self) {
        let tree = tree(self.child.id());
        let signal = |name: &str, pid: &u32| {
            let _ = Command::new("kill").args([name, &pid.to_string()]).stderr(Stdio::null()).status();
        };
        signal("-TERM", &self.child.id());
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(20) && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Kills the children as well: no other process would end them.
        tree.iter().rev().for_each(|pid| signal("-KILL", pid));
        let _ = self.child.wait();
    }
}

/// An address with a free port.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// A number from the kernel's status of a process.
fn field(pid: u32, name: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// A process and all its descendants.
fn tree(root: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, field(pid, "PPid:")? as u32))).collect();
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    tree
}

/// Answers every request with a few bytes, forever.
pub fn serve_hello(address: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
        let router = axum::Router::new().fallback(|| async { "hello" });
        axum::serve(listener, router).await.expect("it serves");
    });
}
