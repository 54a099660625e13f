//! The benchmark: `cargo bench`. It prints a table of medians beside the goals, with ratios to floors of the same run.
//!
//! `cargo bench -- --quick` leaves out the largest registries; `cargo bench -- NAME…` runs single parts: mutation,
//! cli, read, index, diff, hash, signature, gate, deliver; transfer and http measure the server, beside MLflow's
//! server where that has the same feature. Machines are noisy: compare ratios, not milliseconds.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and stops when it cannot measure"
)]

mod deliver;
mod gate;
mod generate;
mod http;
mod measure;
mod parts;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::panic, reason = "what integration tests share, of which this needs little")]
mod support;
mod transfer;

use generate::Shape;
use greenroom::entity::settings::Layout;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [first, address] = args.as_slice()
        && first == http::HELLO
    {
        return http::serve_hello(address);
    }
    let quick = args.iter().any(|a| a == "--quick");
    let named: Vec<&str> = args.iter().map(String::as_str).filter(|a| !a.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.contains(&part);
    let temp = tempfile::tempdir().expect("a temporary folder");
    if wanted("http") {
        http::run(temp.path(), quick);
    }
    if named == ["http"] {
        return;
    }
    let sharded = |models, versions| Shape { models, versions, layout: Layout::Sharded };
    let flat = |models| Shape { models, versions: 10, layout: Layout::Flat };
    let mut shapes = vec![sharded(100, 10), flat(100), sharded(1_000, 10), flat(1_000)];
    if !quick {
        shapes.extend([sharded(10_000, 10), sharded(1, 10_000)]);
    }
    println!("| what | measured | goal | |\n|---|---|---|---|");
    if wanted("transfer") {
        transfer::transfer(temp.path(), quick);
    }
    if named == ["transfer"] {
        return;
    }
    if wanted("hash") {
        parts::hash(temp.path(), quick);
    }
    if wanted("signature") {
        parts::signature();
    }
    if wanted("deliver") {
        deliver::deliver(temp.path(), quick);
        if named == ["deliver"] {
            return;
        }
    }
    for shape in shapes {
        let start = std::time::Instant::now();
        let dir = generate::registry(temp.path(), shape);
        eprintln!("generated {} in {:.1} s", dir.display(), start.elapsed().as_secs_f64());
        let bench = parts::Bench::new(dir, shape);
        for (name, part) in parts::ALL {
            if wanted(name) {
                part(&bench);
            }
        }
        if let Err(e) = std::fs::remove_dir_all(&bench.dir) {
            eprintln!("could not remove {}: {e}", bench.dir.display());
        }
    }
}
