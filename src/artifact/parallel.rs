//! Processes many files on all cores: a queue, one thread per core, and the first error by position.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Applies `work` to each item and returns the results in the items' order.
///
/// # Errors
/// The error of the failed item with the lowest position. After an error no further item is started.
pub fn map<T: Sync, R: Send, E: Send>(items: &[T], work: impl Fn(&T) -> Result<R, E> + Sync) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let drain = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((at, result));
        }
        done
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let mut results = if threads <= 1 {
        drain()
    } else {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(drain)).collect();
            workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    };
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = map(&items, |i| Ok::<_, ()>(i * 2));
        assert_eq!(doubled, Ok((0..1000).map(|i| i * 2).collect()));
    }

    #[test]
    fn a_failure_stops_the_queue() {
        let begun = AtomicUsize::new(0);
        let items: Vec<usize> = (0..100_000).collect();
        let result = map(&items, |i| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *i == 3 { Err(*i) } else { Ok(()) }
        });
        assert_eq!(result, Err(3));
        assert!(begun.load(Ordering::Relaxed) < items.len());
    }
}
