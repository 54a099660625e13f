//! A progress bar on the terminal for what takes longer than a second.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is done within this time needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the bar counts.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Bytes,
    Things,
}

/// A bar that shows itself late, on a terminal only, and is gone when dropped.
pub(super) struct Progress {
    doing: &'static str,
    unit: Unit,
    started: Instant,
    bar: OnceLock<ProgressBar>,
}

impl Progress {
    /// Starts to count bytes; `doing` is what the bar says, such as `Hashing`.
    pub(super) fn new(doing: &'static str) -> Self {
        Self::of(doing, Unit::Bytes)
    }

    /// Starts to count other things.
    pub(super) fn counting(doing: &'static str) -> Self {
        Self::of(doing, Unit::Things)
    }

    fn of(doing: &'static str, unit: Unit) -> Self {
        Self { doing, unit, started: Instant::now(), bar: OnceLock::new() }
    }

    /// Takes note that `done` of `total` are done; may be called from several threads.
    pub(super) fn seen(&self, done: u64, total: u64) {
        if self.bar.get().is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_init(|| self.bar(total));
        bar.set_length(total);
        bar.set_position(done);
    }

    fn bar(&self, total: u64) -> ProgressBar {
        let template = match self.unit {
            Unit::Bytes => "{msg} {bytes}/{total_bytes} [{bar:30}] {bytes_per_sec}, {eta} left",
            Unit::Things => "{msg} {human_pos}/{human_len} [{bar:30}] {eta} left",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        // Where stderr is no terminal the library draws nothing.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(self.doing);
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// A size for people: `61.8 kB`.
pub(super) fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}
