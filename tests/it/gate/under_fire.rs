//! Real pushes through the hook while a process dies: every accepted push was judged, and the next push works.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{Sandbox, Shell, trees};

struct Served {
    sandbox: Sandbox,
}

impl Served {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.git(["init", "--quiet", "--bare", "served.git"]).success();
        sandbox.greenroom(["init", "registry"]).success();
        let served = Self { sandbox };
        served.server().greenroom(["hook", "install", "--host", "unix"]).success();
        served.push().success();
        served
    }

    fn server(&self) -> Shell<'_> {
        self.sandbox.alice().within("served.git")
    }

    fn alice(&self) -> Shell<'_> {
        self.sandbox.alice().within("registry").env("LOGNAME", "alice").env("USER", "alice")
    }

    fn push(&self) -> crate::support::Output {
        self.alice().git(["push", "../served.git", "main"])
    }

    fn change(&self, n: usize) {
        self.alice().greenroom(["model", "create", &format!("model-{n}")]).success();
    }

    fn tip(&self, shell: Shell<'_>) -> String {
        shell.git(["rev-parse", "main"]).success().stdout().trim().to_owned()
    }

    /// Demands that no object of a refused push is left, and that git finds no fault in the repository.
    fn sound(&self) {
        let left: Vec<String> = trees::files(&self.sandbox.path("served.git/objects"))
            .into_iter()
            .filter(|f| f.contains("tmp_objdir"))
            .collect();
        assert_eq!(left, [] as [&str; 0]);
        let fsck = self.server().git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
        assert_eq!((fsck.stdout(), fsck.stderr()), ("", ""));
    }
}

#[test]
fn a_hook_that_is_killed_refuses_and_the_next_push_works() {
    let served = Served::new();
    let before = served.tip(served.server());
    served.change(1);
    // Another hook in the chain kills the shell of the gate's process group in the middle of the judgement.
    let hook = served.sandbox.path("served.git/hooks/pre-receive");
    let text = fs::read_to_string(&hook).expect("it is installed");
    fs::write(&hook, "#!/bin/sh\nkill -9 $$\n").expect("writable");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("writable");
    served.push().code(1);
    assert_eq!(served.tip(served.server()), before);
    served.sound();
    fs::write(&hook, text).expect("writable");
    served.push().success();
    assert_eq!(served.tip(served.server()), served.tip(served.alice()));
    served.sound();
}

#[test]
fn a_judgement_that_takes_too_long_refuses() {
    let served = Served::new();
    let before = served.tip(served.server());
    served.server().git(["config", "greenroom.maxSeconds", "1"]).success();
    // The sender of the list of references stops in the middle of it.
    let mut hook = served.server().env("GIT_DIR", ".").env("LOGNAME", "alice").command(env!("CARGO_BIN_EXE_greenroom"));
    let mut child = hook
        .args(["hook", "pre-receive"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("greenroom runs");
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, before.as_bytes()).expect("it reads");
    let out = finished(child);
    drop(input);
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("judging it took longer than 1 s"), "{said}");
}

fn finished(child: Child) -> std::process::Output {
    let (done, wait) = std::sync::mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match wait.recv_timeout(Duration::from_secs(30)) {
        Ok(out) => out.expect("it ends"),
        Err(_) => panic!("process {id} did not end"),
    }
}

#[test]
fn a_push_that_dies_at_any_moment_lands_whole_or_not_at_all() {
    let served = Served::new();
    for n in 0..12_u64 {
        served.change(usize::try_from(n).expect("small"));
        let before = served.tip(served.server());
        let mut push = served.alice().command("git");
        let mut child = push
            .args(["push", "-q", "../served.git", "main"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git runs");
        std::thread::sleep(Duration::from_millis(n * 7));
        // The client dies; the server's processes end by themselves.
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let wanted = served.tip(served.alice());
        let landed = |tip: &str| tip == before || tip == wanted;
        assert!(landed(&served.tip(served.server())), "half a push was accepted");
        // Whatever the dead push still does, a new push succeeds.
        let again = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            served.push().any();
            served.tip(served.server()) == wanted
        });
        assert!(again, "the branch stays locked");
    }
    served.server().git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
}
