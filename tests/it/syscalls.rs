//! System calls that fail one by one, once or from then on: acknowledged changes are stored, everything else is an
//! error, and nothing panics (REL-06 in `tests/security.toml`). `GREENROOM_FULL=1` tries every call.

use crate::support::Sandbox;

/// The system calls of a change that can fail, with their possible errors. An interruption is injected only once: the
/// program must retry, so a permanent one would loop forever.
const CALLS: [(&str, &[&str]); 11] = [
    ("openat", &["EMFILE", "EACCES", "EIO", "ENOSPC", "EINTR"]),
    ("read", &["EIO", "EINTR"]),
    ("write", &["ENOSPC", "EIO", "EINTR"]),
    ("statx", &["EIO", "EACCES"]),
    ("mkdir", &["ENOSPC", "EACCES"]),
    ("renameat,rename,renameat2", &["ENOSPC", "EIO", "EACCES"]),
    ("unlink,unlinkat", &["EIO", "EACCES"]),
    ("ftruncate", &["EIO", "EINTR"]),
    ("flock", &["EIO", "EINTR"]),
    ("fsync,fdatasync,syncfs", &["EIO", "ENOSPC"]),
    ("getdents64", &["EIO"]),
];

/// The number of tried places of one call by default.
const PLACES: usize = 4;

/// The change: sets a tag, whose value identifies it.
fn change(value: &str) -> [String; 4] {
    ["tag", "set", "churn", &format!("k={value}")].map(str::to_owned)
}

/// The number of times that a change makes a call.
fn count(sandbox: &Sandbox, calls: &str) -> usize {
    let shell = sandbox.alice().within("r");
    let filter = format!("trace={calls}");
    let args = ["-f", "-qq", "-e", "signal=none", "-e", &filter, "-o", "../trace", env!("CARGO_BIN_EXE_greenroom")];
    let args = args.into_iter().map(str::to_owned).chain(change(&format!("counted {calls}")));
    shell.run("strace", args).success();
    sandbox.read("trace").lines().filter(|l| l.contains('(')).count()
}

/// Whether a tag is stored, as another program reads it.
fn is_stored(sandbox: &Sandbox, value: &str) -> bool {
    let shell = sandbox.alice().within("r");
    shell.git(["show", "HEAD:models/churn/model.toml"]).success().stdout().contains(&format!("\"{value}\""))
}

#[test]
fn a_system_call_that_fails_is_an_error_or_does_no_harm() {
    let full = std::env::var_os("GREENROOM_FULL").is_some();
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let shell = sandbox.alice().within("r");
    shell.greenroom(["model", "create", "churn"]).success();
    let (mut tried, mut acknowledged, mut refused) = (0, 0, 0);
    for (calls, errors) in CALLS {
        let made = count(&sandbox, calls);
        let step = if full { 1 } else { made.div_ceil(PLACES).max(1) };
        for (turn, place) in (1..=made).step_by(step).enumerate() {
            for (nth, error) in errors.iter().enumerate() {
                // By default each place fails in one way, and the ways take turns.
                if !full && nth != turn % errors.len() {
                    continue;
                }
                for for_ever in [false, true] {
                    if for_ever && (*error == "EINTR" || (!full && turn % 2 == 0)) {
                        continue;
                    }
                    let when = if for_ever { format!("{place}+") } else { place.to_string() };
                    let what = format!("{calls}:error={error}:when={when}");
                    tried += 1;
                    let value = format!("value {tried}");
                    let inject = format!("inject={what}");
                    let trace = format!("trace={calls}");
                    let strace = ["-f", "-qq", "-e", "signal=none", "-e", &trace, "-e", &inject, "-o", "/dev/null"];
                    let args = strace.into_iter().chain([env!("CARGO_BIN_EXE_greenroom")]).map(str::to_owned);
                    let (stdout, stderr, code) = shell.run("strace", args.chain(change(&value))).ended();
                    assert!(!stderr.contains("panicked") && code != Some(101), "{what}: {stderr}");
                    assert!(code.is_some(), "{what}: it ended by a signal: {stdout}{stderr}");
                    if code == Some(0) {
                        assert!(is_stored(&sandbox, &value), "{what}: acknowledged and not stored: {stdout}{stderr}");
                        acknowledged += 1;
                    } else {
                        // If writes fail, the message cannot be printed either.
                        assert!(calls == "write" || !stderr.is_empty(), "{what}: no word of what went wrong");
                        refused += 1;
                    }
                }
            }
        }
        // The next command cleans up any half-done change.
        shell.greenroom(change(&format!("after {calls}"))).success();
        assert!(is_stored(&sandbox, &format!("after {calls}")), "{calls}");
        shell.git(["fsck", "--strict", "--no-dangling"]).success();
        assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "", "{calls}: the work tree is behind");
    }
    eprintln!("{tried} calls failed: {acknowledged} changes were acknowledged and stored, {refused} refused");
    assert!(refused > tried / 4, "little of what failed mattered: {refused} of {tried}");
    shell.greenroom(["check"]).success();
}
