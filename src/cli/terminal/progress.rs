//! A progress bar on the terminal for work that takes longer than a second.

use std::fmt::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressDrawTarget, ProgressState, ProgressStyle};

/// Work shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// The unit of the bar.
#[derive(Debug, Clone, Copy)]
enum ProgressUnit {
    Bytes,
    Things,
}

/// A progress bar. It appears after a second, only on a terminal, and disappears when dropped.
pub(in crate::cli) struct ProgressBar {
    doing: &'static str,
    unit: ProgressUnit,
    started: Instant,
    bar: OnceLock<indicatif::ProgressBar>,
}

impl ProgressBar {
    /// Starts a bar in bytes; `doing` is its label, such as `Hashing`.
    pub(in crate::cli) fn new(doing: &'static str) -> Self {
        Self::of(doing, ProgressUnit::Bytes)
    }

    /// Starts a bar that counts other things than bytes.
    pub(in crate::cli) fn counting(doing: &'static str) -> Self {
        Self::of(doing, ProgressUnit::Things)
    }

    fn of(doing: &'static str, unit: ProgressUnit) -> Self {
        Self { doing, unit, started: Instant::now(), bar: OnceLock::new() }
    }

    /// Records that `done` of `total` are done; several threads may call it.
    pub(in crate::cli) fn seen(&self, done: u64, total: u64) {
        if self.bar.get().is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_init(|| self.bar(total));
        bar.set_length(total);
        bar.set_position(done);
    }

    fn bar(&self, total: u64) -> indicatif::ProgressBar {
        let template = match self.unit {
            ProgressUnit::Bytes => "{msg} {bytes}/{total_bytes} [{bar:30}] {rate}, {left} left",
            ProgressUnit::Things => "{msg} {human_pos}/{human_len} [{bar:30}] {left} left",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let started = self.started;
        // The library's own rate counts from the moment the bar appears, as if the earlier work had taken no time.
        let style = style
            .with_key("rate", move |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{}/s", size(rate(state.pos(), started.elapsed())));
            })
            .with_key("left", move |state: &ProgressState, out: &mut dyn Write| {
                let left = left(state.pos(), state.len().unwrap_or(0), started.elapsed());
                let _ = write!(out, "{}", indicatif::HumanDuration(left));
            });
        // The library draws nothing if stderr is not a terminal.
        let bar = indicatif::ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(self.doing);
        bar
    }
}

/// The average rate since the start, per second.
fn rate(done: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from(u128::from(done).saturating_mul(1000) / millis).unwrap_or(u64::MAX)
}

/// The estimated time for the rest at that rate, in whole seconds; meaningless before anything is done.
fn left(done: u64, total: u64, elapsed: Duration) -> Duration {
    let rest = u128::from(total.saturating_sub(done));
    let millis = rest.saturating_mul(elapsed.as_millis()) / u128::from(done.max(1));
    Duration::from_secs(u64::try_from(millis / 1000).unwrap_or(u64::MAX))
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// A size for people: `61.8 kB`.
pub(in crate::cli) fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_since_the_start() {
        let at = Duration::from_millis;
        assert_eq!(rate(3_000_000, at(1500)), 2_000_000, "the time before the bar appears counts, too");
        assert_eq!((rate(5, at(0)), rate(0, at(9)), rate(u64::MAX, at(1))), (5000, 0, u64::MAX));
        assert_eq!(left(3_000_000, 9_000_000, at(1500)), at(3000));
        assert_eq!((left(7, 7, at(10)), left(9, 7, at(10)), left(0, 0, at(10))), (at(0), at(0), at(0)));
    }
}
