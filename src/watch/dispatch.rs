//! Dispatches jobs, and records the results of attempts.

use super::WatchError;
use super::pool::{AttemptReport, THREADS, Task};
use super::reporter::{Message, MessageLevel};
use super::run::Runner;
use crate::deliver::AttemptOutcome;
use crate::outbox::PendingJob;

/// The effects of failed jobs on the channel.
#[derive(Debug, Default)]
struct JobDisposition {
    /// The time until which the whole channel pauses, if the receiver asked for that.
    asked_until: Option<std::time::Duration>,
    /// When the first of the given-up events reached the branch, in milliseconds since the epoch. `None` if no job was
    /// given up.
    given_up: Option<i64>,
}

/// The cause of a failure.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The jobs themselves.
    Own,
    /// The channel, whose receiver may have asked to wait.
    Channel { asked: Option<std::time::Duration> },
}

impl Runner<'_> {
    /// Dispatches jobs to the threads. Channels take turns.
    pub(super) fn dispatch(&mut self) -> Result<(), WatchError> {
        let now = self.options.clock.elapsed();
        let mut busy: usize = self.served.values().map(|s| s.lanes.busy()).sum();
        let names: Vec<String> = self.served.keys().cloned().collect();
        let mut gave = true;
        while gave {
            gave = false;
            for name in &names {
                let Some(served) = self.served.get_mut(name) else { continue };
                if busy >= THREADS || !served.is_sending() || !served.may_send() {
                    continue;
                }
                let Some(lane) = served.lanes.next(now) else { continue };
                let channel = std::sync::Arc::clone(&served.channel);
                let jobs = self.due_jobs(name, &lane);
                if jobs.is_empty() {
                    self.freed(name, &lane);
                    continue;
                }
                self.pool.submit(Task { channel, lane, jobs })?;
                busy += 1;
                gave = true;
            }
        }
        Ok(())
    }

    /// Returns the first jobs of a queue that may be sent together: jobs of one step, or jobs that were held back and
    /// are due.
    fn due_jobs(&self, name: &str, lane: &str) -> Vec<PendingJob> {
        let Some(served) = self.served.get(name) else { return Vec::new() };
        let state = served.ledger.state();
        // The queue is due because its first job was due, even if the wall clock says otherwise since.
        let Some(first) = state.lane(lane).next() else { return Vec::new() };
        let together = |job: &PendingJob| match first.not_before {
            Some(_) => job.not_before.is_some() && self.due(job).is_none(),
            None => job.not_before.is_none() && job.origin == first.origin && self.due(job).is_none(),
        };
        let most = served.channel.most().max(1);
        let rest = state.lane(lane).skip(1).take(most - 1).take_while(|job| together(job));
        [first].into_iter().chain(rest).cloned().collect()
    }

    /// Handles that a thread has finished with a queue.
    pub(super) fn freed(&mut self, name: &str, lane: &str) {
        let Some(served) = self.served.get_mut(name) else { return };
        served.lanes.free(lane);
        self.put_lanes(name, &[lane.to_owned()]);
    }

    /// Records the result of an attempt. If that fails, it is as if the attempt had not happened. Without a pause, the
    /// same jobs would be sent again at once, in a fast loop. So the channel pauses for a while.
    pub(super) fn settle(&mut self, attempt: AttemptReport) {
        let AttemptReport { channel, lane, jobs, outcome } = attempt;
        let noted = match outcome {
            AttemptOutcome::Delivered(said) => self.arrived(&channel, &jobs, &said),
            AttemptOutcome::Retry { why, after } => self.failed(&channel, &lane, &jobs, &why, after),
            AttemptOutcome::Deferred { why } => self.not_yet(&channel, &lane, &jobs, &why, Fault::Own).map(drop),
            AttemptOutcome::Refused { why } => self.never(&channel, &jobs, &why),
            AttemptOutcome::Gone { why } => {
                self.summary.failed += 1;
                self.options.counters.failed();
                self.suspend(&channel, &why)
            }
        };
        if let Err(e) = noted {
            self.leave_alone(&channel, &lane);
            self.complain("the result of a delivery cannot be recorded; the delivery may be made again", &e);
        }
    }

    /// Pauses a channel whose results cannot be recorded now, and delays the retry of the queue.
    fn leave_alone(&mut self, channel: &str, lane: &str) {
        let until = self.options.clock.elapsed() + self.backoff.probe();
        let Some(served) = self.served.get_mut(channel) else { return };
        served.lanes.failed(lane, Some(until), until);
        served.lanes.retry_at(lane, until);
    }

    fn arrived(&mut self, channel: &str, jobs: &[String], said: &str) -> Result<(), WatchError> {
        let now = self.options.clock.now();
        let Some(served) = self.served.get_mut(channel) else { return Ok(()) };
        served.lanes.succeeded();
        self.options.counters.delivered(jobs.len());
        self.summary.delivered += jobs.len() as u64;
        Ok(jobs.iter().try_for_each(|id| served.ledger.delivered(id, now, said))?)
    }

    /// Handles jobs that the channel could not deliver. If several queues fail, the channel pauses for a while. If
    /// nothing arrived for as long as jobs are retried, the channel is suspended.
    fn failed(
        &mut self,
        channel: &str,
        lane: &str,
        jobs: &[String],
        why: &str,
        asked: Option<std::time::Duration>,
    ) -> Result<(), WatchError> {
        let put = self.not_yet(channel, lane, jobs, why, Fault::Channel { asked })?;
        let (now, probe) = (self.options.clock.now(), self.options.clock.elapsed() + self.backoff.probe());
        let Some(served) = self.served.get_mut(channel) else { return Ok(()) };
        served.lanes.failed(lane, put.asked_until, probe);
        let state = served.ledger.state();
        // With many queues that take turns, the time may end long before any job was tried often enough.
        let is_over = state.failing().is_some_and(|failing| self.backoff.is_over(failing, now));
        if is_over || put.given_up.is_some_and(|landed| !state.arrived_since(landed)) {
            let why = format!("no delivery arrived for as long as deliveries are retried; the last error: {why}");
            return self.suspend(channel, &why);
        }
        Ok(())
    }

    /// Schedules the next attempt of jobs, or gives them up.
    fn not_yet(
        &mut self,
        channel: &str,
        lane: &str,
        jobs: &[String],
        why: &str,
        fault: Fault,
    ) -> Result<JobDisposition, WatchError> {
        let asked = match fault {
            Fault::Own => None,
            Fault::Channel { asked } => asked,
        };
        let (now, elapsed) = (self.options.clock.now(), self.options.clock.elapsed());
        self.options.counters.failed();
        self.summary.failed += 1;
        let Some(served) = self.served.get_mut(channel) else { return Ok(JobDisposition::default()) };
        let mut waits = None;
        let mut given_up = None;
        let mut died = Vec::new();
        for id in jobs {
            let Some(job) = served.ledger.state().find(id) else { continue };
            match self.backoff.after(job.attempts.saturating_add(1), id, asked) {
                Some(wait) => {
                    waits = waits.max(Some(wait));
                    match fault {
                        Fault::Own => served.ledger.deferred(id, now, wait, why)?,
                        Fault::Channel { .. } => served.ledger.failed(id, now, wait, why)?,
                    }
                }
                None => {
                    given_up = given_up.or(Some(job.landed));
                    died.push(id.clone());
                }
            }
        }
        if let Some(wait) = waits {
            served.lanes.retry_at(lane, elapsed + wait);
        }
        died.iter().try_for_each(|id| self.bury(channel, id, why))?;
        // A receiver that asks to wait means the whole channel, but no longer than the schedule would wait anyway.
        Ok(JobDisposition { asked_until: asked.and(waits).map(|wait| elapsed + wait), given_up })
    }

    fn never(&mut self, channel: &str, jobs: &[String], why: &str) -> Result<(), WatchError> {
        self.options.counters.failed();
        self.summary.failed += 1;
        jobs.iter().try_for_each(|id| self.bury(channel, id, why))
    }

    /// Turns a job into a dead letter.
    fn bury(&mut self, channel: &str, id: &str, why: &str) -> Result<(), WatchError> {
        let now = self.options.clock.now();
        let Some(served) = self.served.get_mut(channel) else { return Ok(()) };
        served.ledger.died(id, now, why)?;
        self.options.counters.died();
        self.summary.dead += 1;
        let text = "a delivery is given up; `greenroom webhook replay --dead` sends it again";
        self.say(Message::new(MessageLevel::Error, text).with("channel", channel).with("id", id).with("why", why));
        Ok(())
    }
}
