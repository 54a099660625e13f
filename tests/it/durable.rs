//! Acknowledged changes survive a power failure: the order of flushes and renames, as the kernel saw them.

use crate::support::Sandbox;

#[test]
fn what_is_acknowledged_was_flushed_in_order() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "--bare", "r.git"]).success();
    let shell = sandbox.alice().within("r.git");
    let calls = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,write,linkat,link";
    let traced = ["-f", "-y", "-s", "64", "-e", calls, "-o", "../trace", env!("CARGO_BIN_EXE_greenroom")];
    shell.run("strace", traced.into_iter().chain(["model", "create", "churn"])).success();
    let trace = sandbox.read("trace");
    let lines: Vec<&str> = trace.lines().collect();
    let is_flush = |line: &str| ["fsync(", "fdatasync(", "syncfs("].iter().any(|call| line.contains(call));
    let is_move = |line: &str| line.contains("rename");
    let moved = lines.iter().position(|l| is_move(l) && l.contains("refs/heads/main\"")).expect("the branch moves");
    // The objects get their names, then all are flushed, and only then the branch moves.
    let named = lines.iter().rposition(|l| (is_move(l) || l.contains("link")) && l.contains("/objects/"));
    let named = named.expect("objects are written");
    assert!(named < moved, "an object is named after the branch moved:\n{trace}");
    let flushed = lines[named..moved].iter().any(|l| is_flush(l));
    assert!(flushed, "nothing is flushed between the last object and the branch:\n{trace}");
    // The branch's folder is flushed before anything is printed.
    let after = &lines[moved..];
    let said = after.iter().position(|l| l.contains("write(1<")).expect("it says what it did");
    let folder = after.iter().position(|l| is_flush(l) && l.contains("refs/heads>"));
    assert!(folder.is_some_and(|f| f < said), "the branch is not flushed before the answer:\n{trace}");
}
