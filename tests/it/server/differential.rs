//! Random calls get the same answers from the server as from MLflow's own, except for the listed differences.
//!
//! By default about 1,000 calls; with `GREENROOM_FULL=1` more than 20,000, by two pairs of servers. `GREENROOM_SEED`
//! replaces the fixed default seed.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::World;
use crate::support::tools;

/// The longest time for MLflow's server to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// MLflow's own server with an empty SQLite database; stopped when the value is dropped.
struct Mlflow {
    child: Child,
    address: String,
}

impl Mlflow {
    fn start(world: &World) -> Self {
        let folder = world.sandbox.path("mlflow");
        fs::create_dir(&folder).expect("the sandbox is writable");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let log = File::create(folder.join("log")).expect("the sandbox is writable");
        let python = tools::python();
        let mut command = world.sandbox.alice().within("mlflow").command(python.with_file_name("mlflow"));
        command
            .args(["server", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1", "--host", "127.0.0.1"])
            .args(["--port", &free.port().to_string()])
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .stdin(Stdio::null());
        // Its workers are its children: the whole group must be stopped.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().expect("mlflow runs");
        let server = Self { child, address: free.to_string() };
        let begun = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            let said = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "MLflow does not come up:\n{}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// Compares `calls` calls; demands that there are only listed differences.
fn compare(removal: &str, calls: u32, seed: u32, more: &[&str]) -> String {
    let world = World::new(&[]);
    world.alice().greenroom(["settings", "set", "--removal", removal]).any();
    let mlflow = Mlflow::start(&world);
    let server = world.serve(&[]);
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/server/DIFFERENCES.md");
    let mut args = vec![tools::python_script("differential.py").into_os_string()];
    args.extend([format!("http://{}", server.address()), format!("http://{}", mlflow.address)].map(Into::into));
    args.extend(["--list".into(), list.into_os_string(), "--removal".into(), removal.into()]);
    args.extend([format!("--calls={calls}"), format!("--seed={seed}")].map(Into::into));
    args.extend(more.iter().map(Into::into));
    let (said, wrong) = world.sandbox.alice().run(tools::python(), args).any();
    assert!(wrong.is_empty() && !said.contains("---"), "{said}\n{wrong}");
    world.is_sound();
    world.alice().greenroom(["check"]).success();
    said
}

fn seed() -> u32 {
    std::env::var("GREENROOM_SEED").map_or(17, |s| s.parse().expect("GREENROOM_SEED is a number"))
}

#[test]
fn random_calls_get_mlflows_answers() {
    if std::env::var_os("GREENROOM_FULL").is_none() {
        let said = compare("any", 1_000, seed(), &[]);
        assert!(said.contains("calls in"), "{said}");
        return;
    }
    let runs = std::thread::scope(|threads| {
        let run = |seed| threads.spawn(move || compare("any", 11_000, seed, &[]));
        [run(seed()), run(seed() + 1)].map(|r| r.join().expect("all is as MLflow says"))
    });
    runs.iter().for_each(|said| eprintln!("{said}"));
    // Each listed difference occurred; that of the default setting occurs in the test below.
    let never = |said: &str| -> Vec<String> {
        let line = said.lines().find_map(|l| l.strip_prefix("never occurred: "));
        line.map_or_else(Vec::new, |l| l.split(", ").map(str::to_owned).collect())
    };
    let (first, second) = (never(&runs[0]), never(&runs[1]));
    let both: Vec<_> = first.into_iter().filter(|name| second.contains(name)).collect();
    assert_eq!(both, ["removal"]);
}

#[test]
fn by_default_only_the_rules_of_removal_differ_besides() {
    let calls = if std::env::var_os("GREENROOM_FULL").is_some() { 2_000 } else { 400 };
    let said = compare("inactive", calls, seed(), &[]);
    let removals = said.lines().find_map(|l| l.trim().strip_suffix(" removal")).map(str::trim);
    assert!(removals.is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 0)), "{said}");
}
