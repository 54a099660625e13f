//! Ends a judgement that takes too long, whatever blocks it: a disk that does not answer, an object that takes forever
//! to read.

use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::client_message::to_client;
use crate::gate::Host;

/// How long the gate may exceed its own limit, which it checks between two steps.
const GRACE: Duration = Duration::from_secs(2);

/// Ends the process with a refusal, unless it is dropped in time.
pub(super) struct Alarm(#[expect(dead_code, reason = "dropping it stops the alarm")] Sender<()>);

impl Alarm {
    /// Starts an alarm that fires after `limit` and the grace period.
    pub(super) fn after(limit: Duration, host: Host) -> Self {
        let (alive, dropped) = channel();
        let watch = move || {
            if dropped.recv_timeout(limit.saturating_add(GRACE)) == Err(RecvTimeoutError::Timeout) {
                let text = format!(
                    "greenroom: the push is refused, because judging it took longer than {} s\n\n    push less at \
                     once, or ask the administrator of the server to raise greenroom.maxSeconds\n",
                    limit.as_secs()
                );
                let _ = std::io::stderr().lock().write_all(to_client(&text, Some(host)).as_bytes());
                // The thread that blocks cannot be stopped.
                std::process::exit(1);
            }
        };
        std::thread::spawn(watch);
        Self(alive)
    }
}
