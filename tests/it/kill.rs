//! kill -9 at any moment of a write: the state is the old or the new one, what was acknowledged is there, and the next
//! write works without repair.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use crate::support::Sandbox;

const KILLS: u64 = 110;

fn names(sandbox: &Sandbox) -> BTreeSet<String> {
    let list = sandbox.alice().within("r").greenroom(["model", "list", "-o", "json"]).success().json();
    list.as_array().expect("a list").iter().map(|m| m["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_writer_that_is_killed_leaves_the_old_or_the_new_state() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let create = |name: &str| {
        let mut command = sandbox.alice().within("r").command(env!("CARGO_BIN_EXE_greenroom"));
        command.args(["model", "create", name]).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("it starts")
    };
    // How long a write takes here, so that the kills are spread over all of it.
    let start = std::time::Instant::now();
    assert!(create("first").wait().expect("it ends").success());
    let whole = start.elapsed();
    let mut known = names(&sandbox);
    let (mut killed, mut landed) = (0, 0);
    for i in 0..KILLS {
        let name = format!("m-{i}");
        let mut writer = create(&name);
        // A step that has no common divisor with the number of kills visits every part of the span once.
        let part = (i * 37) % KILLS;
        std::thread::sleep(Duration::from_micros(
            u64::try_from(whole.as_micros()).expect("a short time") * part / KILLS,
        ));
        // An ended process cannot be killed any more; then it has acknowledged.
        let ended = writer.try_wait().expect("it can be asked");
        writer.kill().ok();
        let status = writer.wait().expect("it ends");
        killed += u64::from(ended.is_none() && !status.success());
        if status.success() {
            known.insert(name.clone());
        }
        // The next write needs no repair, whatever was left behind.
        let next = format!("after-{i}");
        sandbox.alice().within("r").greenroom(["model", "create", &next]).success();
        known.insert(next);
        let there = names(&sandbox);
        // Unacknowledged it may have landed or not, but nothing else has changed.
        if there.contains(&name) && known.insert(name) {
            landed += 1;
        }
        assert_eq!(there, known, "after kill {i}");
    }
    assert!(killed >= 40, "only {killed} writers were killed before they ended");
    eprintln!("{killed} killed, of which {landed} had landed");
    let fsck = sandbox.alice().within("r").git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
    assert_eq!((fsck.stdout(), fsck.stderr()), ("", ""));
    // A killed writer may leave the work tree behind; the commits are whole.
    let count = sandbox.alice().within("r").git(["rev-list", "--count", "HEAD"]).success();
    assert_eq!(count.stdout().trim(), (1 + known.len()).to_string());
}
