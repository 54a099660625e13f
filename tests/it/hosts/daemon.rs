//! Servers for one test on their own ports, stopped when dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Sandbox;

/// The longest time for a server to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its workers are in its process group, and would outlive it otherwise.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}:\n{}", self.log.display(), lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

impl Daemon {
    /// Starts a server and waits until it answers; `None` if it ended before that.
    pub fn start(command: &mut Command, log: &Path, there: impl Fn() -> bool) -> Option<Self> {
        let file = || fs::File::create(log).expect("the log can be written");
        let child = command.stdin(Stdio::null()).stdout(file()).stderr(file()).process_group(0).spawn();
        let mut daemon = Self { child: child.unwrap_or_else(|e| panic!("{command:?}: {e}")), log: log.to_owned() };
        let started = Instant::now();
        loop {
            if daemon.child.try_wait().expect("it can be asked").is_some() {
                return None;
            }
            if there() {
                return Some(daemon);
            }
            let said = || fs::read_to_string(log).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "{command:?} does not answer:\n{}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a server on a free port; `command` makes the command for a port. Another process may take the port
    /// meanwhile, so there are several tries.
    pub fn on_a_port(log: &Path, command: impl Fn(u16) -> Command) -> (Self, u16) {
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
            let there = || TcpStream::connect(("127.0.0.1", port)).is_ok();
            if let Some(daemon) = Self::start(&mut command(port), log, there) {
                return (daemon, port);
            }
        }
        panic!("it ended ten times:\n{}", fs::read_to_string(log).unwrap_or_default());
    }
}

/// The account that runs the tests.
pub fn account() -> String {
    let out = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8(out.stdout).expect("an account is UTF-8").trim().to_owned()
}

/// Makes a key pair at this path in the sandbox, with the public key beside the private one.
pub fn keys(sandbox: &Sandbox, path: &str) {
    fs::create_dir_all(sandbox.path(path).parent().expect("a folder")).expect("writable");
    let words = ["-q", "-t", "ed25519", "-N", "", "-C", path, "-f"].map(str::to_owned);
    let file = sandbox.path(path).to_string_lossy().into_owned();
    sandbox.alice().run("ssh-keygen", words.into_iter().chain([file])).success();
}

/// Starts sshd for the account of the tests, with these keys and further settings. Its child processes get the home
/// folder of the sandbox.
pub fn sshd(sandbox: &Sandbox, authorized_keys: &Path, settings: &str) -> (Daemon, u16) {
    // sshd requires this folder when it runs as root; a container may lack it.
    if account() == "root" {
        fs::create_dir_all("/run/sshd").expect("root may make it");
    }
    keys(sandbox, "sshd/host");
    let shell = sandbox.alice().command("sh");
    let vars: Vec<String> = ["HOME", "PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"]
        .iter()
        .filter_map(|name| {
            let value = shell.get_envs().find(|(n, _)| n == name)?.1?;
            Some(format!("{name}={}", value.to_str().expect("UTF-8")))
        })
        .collect();
    let config = format!(
        "ListenAddress 127.0.0.1\nHostKey {host}\nAuthorizedKeysFile {authorized}\nPidFile none\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         SetEnv {vars}\n{settings}\n",
        host = sandbox.path("sshd/host").display(),
        authorized = authorized_keys.display(),
        vars = vars.join(" "),
    );
    sandbox.write("sshd/config", config);
    Daemon::on_a_port(&sandbox.path("sshd/log"), |port| {
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(sandbox.path("sshd/config")).args(["-p", &port.to_string()]);
        command
    })
}

/// The command by which git uses a key, without the machine's settings.
pub fn ssh_command(sandbox: &Sandbox, key: &str) -> String {
    format!(
        "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        sandbox.path(key).display()
    )
}

#[test]
fn a_daemon_is_gone_when_dropped_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, worker) = (folder.path().join("log"), folder.path().join("worker"));
    let script = format!("sleep 600 & echo $! > {}; wait", worker.display());
    let there = || fs::read_to_string(&worker).is_ok_and(|text| text.ends_with('\n'));
    let daemon = Daemon::start(Command::new("sh").args(["-c", &script]), &log, there).expect("it runs");
    let worker = fs::read_to_string(&worker).expect("it is there");
    // A process that no parent waited for is still listed, as a zombie.
    let lives = |id: &str| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let ids = [daemon.child.id().to_string(), worker.trim().to_owned()];
    assert!(ids.iter().all(|id| lives(id)));
    drop(daemon);
    let started = Instant::now();
    while ids.iter().any(|id| lives(id)) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!ids.iter().any(|id| lives(id)));
    assert!(Daemon::start(&mut Command::new("false"), &log, || false).is_none());
}
