//! kill -9 at any moment of a write: the state is the old or the new one, acknowledged writes are stored, and the next
//! write works without repair.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use crate::support::Sandbox;

/// The number of killed writers.
const KILLS: u32 = 100;

/// The number of started writers; some end before they are killed.
const MOST: u32 = 400;

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
    assert!(create("first").wait().expect("it ends").success());
    let mut known = names(&sandbox);
    let (mut killed, mut landed) = (0, 0);
    // The latest moment of a kill, found by trying: it depends on the machine and its load.
    let mut span = Duration::from_millis(40);
    for i in 0..MOST {
        let name = format!("m-{i}");
        let mut writer = create(&name);
        // A step without a common divisor with the number of kills visits every part of the span.
        std::thread::sleep(span * ((i * 37) % KILLS) / KILLS);
        writer.kill().ok();
        let acknowledged = writer.wait().expect("it ends").success();
        if acknowledged {
            known.insert(name.clone());
            span = span * 9 / 10;
        } else {
            killed += 1;
            span = span * 51 / 50;
        }
        // The next write needs no repair, whatever was left behind.
        let next = format!("after-{i}");
        sandbox.alice().within("r").greenroom(["model", "create", &next]).success();
        known.insert(next);
        let there = names(&sandbox);
        // An unacknowledged write may be stored or not, but nothing else has changed.
        if there.contains(&name) && known.insert(name) {
            landed += 1;
        }
        assert_eq!(there, known, "after kill {i}");
        if killed == KILLS {
            break;
        }
    }
    assert_eq!(killed, KILLS, "in {MOST} attempts");
    eprintln!("{killed} killed, {landed} of them after the commit");
    let fsck = sandbox.alice().within("r").git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
    assert_eq!((fsck.stdout(), fsck.stderr()), ("", ""));
    // A killed writer may leave the work tree behind; the commits are complete.
    let count = sandbox.alice().within("r").git(["rev-list", "--count", "HEAD"]).success();
    assert_eq!(count.stdout().trim(), (1 + known.len()).to_string());
}
