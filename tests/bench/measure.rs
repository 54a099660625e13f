//! Timing: medians of runs, and ratios to a floor that is measured in the same run.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The times of several runs.
pub struct Times(Vec<Duration>);

impl From<Vec<Duration>> for Times {
    fn from(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }
}

impl Times {
    /// Measures a closure `runs` times, after one run that does not count.
    pub fn of(runs: usize, mut run: impl FnMut()) -> Self {
        run();
        let mut times: Vec<Duration> = (0..runs)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed()
            })
            .collect();
        times.sort();
        Self(times)
    }

    /// Measures two closures in turn, so that both see the same machine.
    pub fn pair(runs: usize, mut a: impl FnMut(), mut b: impl FnMut()) -> (Self, Self) {
        a();
        b();
        let (mut ta, mut tb) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let start = Instant::now();
            a();
            ta.push(start.elapsed());
            let start = Instant::now();
            b();
            tb.push(start.elapsed());
        }
        ta.sort();
        tb.sort();
        (Self(ta), Self(tb))
    }

    /// The median in milliseconds.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    }

    /// The 99th percentile in milliseconds.
    pub fn p99(&self) -> f64 {
        self.0.get(self.0.len() * 99 / 100).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    }

    /// The 95th percentile in milliseconds.
    pub fn p95(&self) -> f64 {
        self.0.get(self.0.len() * 95 / 100).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    }
}

/// Runs a command to its end and discards its output.
pub fn quietly(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.is_ok_and(|s| s.success()), "{command:?} failed");
}

/// The peak resident memory of a finished child in MiB, by `/usr/bin/time` if it is installed.
pub fn peak_memory(command: &mut Command) -> Option<f64> {
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(key, value),
            None => timed.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        timed.current_dir(dir);
    }
    let out = timed.stdout(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&out.stderr);
    text.lines().last()?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// One row of the report.
pub fn row(what: &str, measured: &str, goal: &str, met: Option<bool>) {
    let mark = match met {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "",
    };
    println!("| {what} | {measured} | {goal} | {mark} |");
}
