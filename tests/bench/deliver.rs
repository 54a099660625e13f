//! Delivery: latency, throughput, memory and idle cost. Real webhooks of `greenroom watch` to a receiver in this
//! process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use greenroom::registry::Registry;

use crate::support::commits::tag;

use super::measure::{Times, quietly, row};

const HOOKS: [&str; 2] = ["01957a3e-7c00-7000-8000-000000000001", "01957a3e-7c00-7000-8000-000000000002"];

/// A receiver that accepts everything and records the times.
#[derive(Default)]
struct Taken {
    at: Mutex<Vec<Instant>>,
    more: Condvar,
    count: AtomicUsize,
}

impl Taken {
    fn serve(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let taken = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                thread::spawn(move || taken.converse(&stream));
            }
        });
        url
    }

    fn converse(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        loop {
            let mut length = 0;
            loop {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let low = line.to_ascii_lowercase();
                if let Some(value) = low.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            self.at.lock().expect("no thread failed").push(Instant::now());
            self.count.fetch_add(1, Ordering::SeqCst);
            self.more.notify_all();
            let mut out = stream;
            if out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }

    /// Waits until `count` deliveries arrived; returns when the last of them arrived.
    fn wait(&self, count: usize) -> Instant {
        let mut at = self.at.lock().expect("no thread failed");
        while at.len() < count {
            let (back, waited) = self.more.wait_timeout(at, Duration::from_secs(120)).expect("no thread failed");
            assert!(!waited.timed_out(), "{} of {count} came", back.len());
            at = back;
        }
        at[count - 1]
    }
}

struct Scene {
    dir: PathBuf,
    registry: Registry,
    made: u32,
}

impl Scene {
    fn new(at: &Path, name: &str, urls: &[String]) -> Self {
        let dir = at.join(name);
        let mut init = greenroom(at);
        quietly(init.args(["init", name]));
        for (id, url) in HOOKS.iter().zip(urls) {
            let text = format!(
                "id = \"{id}\"\ncreated_at = 2026-03-01T12:00:00.000Z\ncreated_by = \"alice\"\nevents = [\"*\"]\n\
                 state = \"ACTIVE\"\nprofile = \"standard\"\nurl = \"{url}/hook\"\n"
            );
            std::fs::create_dir_all(dir.join("webhooks")).expect("writable");
            std::fs::write(dir.join(format!("webhooks/{id}.toml")), text).expect("writable");
        }
        for n in 0..10 {
            quietly(greenroom(&dir).args(["model", "create", &format!("m{n}")]));
        }
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            identity(&mut git);
            quietly(git.args(args).current_dir(&dir));
        };
        git(&["config", "greenroom.webhookAllow", "127.0.0.1"]);
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "webhooks"]);
        quietly(greenroom(&dir).args(["watch", "--once"]));
        let bare = at.join(format!("{name}.git"));
        std::fs::rename(dir.join(".git"), &bare).expect("renamed");
        quietly(Command::new("git").args(["config", "core.bare", "true"]).current_dir(&bare));
        let registry = Registry::discover(&bare).expect("a registry");
        Self { dir: bare, registry, made: 0 }
    }

    /// Makes a commit with one event, of one of ten models.
    fn commit(&mut self) {
        self.made += 1;
        tag(&self.registry, self.made, 10);
    }

    fn watch(&self) -> Watching {
        let mut watch = greenroom(&self.dir);
        watch.arg("watch").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = watch.spawn().expect("it starts");
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
        thread::sleep(Duration::from_millis(500));
        Watching(child)
    }
}

struct Watching(Child);

impl Watching {
    /// Resident memory in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|k| k.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    }

    /// Processor time in clock ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        [11, 12].iter().filter_map(|n| fields.get(*n)?.parse::<u64>().ok()).sum()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn identity(command: &mut Command) {
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Alice").env(format!("GIT_{role}_EMAIL"), "alice@example.org");
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("NO_COLOR", "1");
}

fn greenroom(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    identity(&mut command);
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Measures everything about delivery.
pub fn deliver(at: &Path, quick: bool) {
    soon_and_idle(at, quick);
    replay(at, quick);
    dead(at, quick);
}

fn soon_and_idle(at: &Path, quick: bool) {
    let taken: Arc<Taken> = Arc::default();
    let mut scene = Scene::new(at, "soon", &[taken.serve()]);
    let watching = scene.watch();
    let count = if quick { 100 } else { 500 };
    let mut times = Vec::new();
    for _ in 0..count {
        let (before, begun) = (taken.count.load(Ordering::SeqCst), Instant::now());
        scene.commit();
        times.push(taken.wait(before + 1).saturating_duration_since(begun));
        thread::sleep(Duration::from_millis(5));
    }
    let times = Times::from(times);
    let (median, late) = (times.median(), times.p99());
    let measured = format!("median {median:.1} ms, 99th {late:.1} ms");
    row("commit to first attempt", &measured, "≤ 100 ms, 99th ≤ 1 s", Some(median <= 100.0 && late <= 1000.0));
    pushed(at, &scene, &taken, count / 5);
    thread::sleep(Duration::from_secs(7));
    let before = watching.ticks();
    thread::sleep(Duration::from_secs(10));
    let busy = (watching.ticks() - before) * 10;
    row("idle for 10 s", &format!("{busy} ms of processor time"), "≈ 0", Some(busy <= 20));
}

/// Measures delivery after `git push` from a clone, from the start and from the end of the push: a delivery may arrive
/// before git reports success.
fn pushed(at: &Path, scene: &Scene, taken: &Taken, count: u32) {
    let clone = at.join("soon-clone");
    let mut git = Command::new("git");
    quietly(git.args(["clone", "-q"]).arg(&scene.dir).arg(&clone));
    let registry = Registry::discover(&clone).expect("a registry");
    let (mut from_start, mut after_end) = (Vec::new(), Vec::new());
    for n in 0..count {
        tag(&registry, 1_000_000 + n, 10);
        let (before, begun) = (taken.count.load(Ordering::SeqCst), Instant::now());
        quietly(Command::new("git").args(["push", "-q", "origin", "main"]).current_dir(&clone));
        let ended = Instant::now();
        let came = taken.wait(before + 1);
        from_start.push(came.saturating_duration_since(begun));
        after_end.push(came.saturating_duration_since(ended));
    }
    let (start, end) = (Times::from(from_start), Times::from(after_end));
    let (median, late) = (start.median(), start.p99());
    let measured = format!(
        "median {median:.1} ms, 99th {late:.1} ms from its start; {:.1} ms, {:.1} ms from its end",
        end.median(),
        end.p99()
    );
    row("git push to first attempt", &measured, "≤ 100 ms, 99th ≤ 1 s", Some(median <= 100.0 && late <= 1000.0));
}

fn replay(at: &Path, quick: bool) {
    let taken: Arc<Taken> = Arc::default();
    let mut scene = Scene::new(at, "replay", &[taken.serve()]);
    let begin = scene.registry.head().expect("readable").expect("a commit");
    let count = if quick { 2_000 } else { 10_000 };
    (0..count).for_each(|_| scene.commit());
    quietly(Command::new("git").args(["repack", "-adq"]).current_dir(&scene.dir));
    let start = Instant::now();
    let from = begin.to_string();
    quietly(greenroom(&scene.dir).args(["webhook", "replay", "--from", &from]));
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    assert_eq!(taken.count.load(Ordering::SeqCst), usize::try_from(count).expect("small"));
    row("replay", &format!("{rate:.0} events/s"), "≥ 5,000", Some(rate >= 5_000.0));
}

fn dead(at: &Path, quick: bool) {
    let taken: Arc<Taken> = Arc::default();
    // No process listens there, but the port was free a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let mut scene = Scene::new(at, "dead", &[url, taken.serve()]);
    let watching = scene.watch();
    scene.commit();
    taken.wait(1);
    let before = watching.memory();
    let count = if quick { 2_000 } else { 10_000 };
    let mut times = Vec::new();
    for n in 0..count {
        let (there, begun) = (taken.count.load(Ordering::SeqCst), Instant::now());
        scene.commit();
        if n % 50 == 0 {
            times.push(taken.wait(there + 1).saturating_duration_since(begun));
        }
    }
    taken.wait(count + 1);
    let grown = watching.memory() - before;
    let late = Times::from(times).p99();
    let measured = format!("{grown:.0} MiB more; the other endpoint 99th {late:.0} ms");
    row(
        &format!("{count} events wait for a dead endpoint"),
        &measured,
        "≤ 64 MiB, < 1 s",
        Some(grown <= 64.0 && late < 1000.0),
    );
}
