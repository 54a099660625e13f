//! Giving out work, and writing down what came of it.

use super::WatchError;
use super::pool::{Attempt, THREADS, Task};
use super::run::Runner;
use super::tell::{Level, Message};
use crate::deliver::Outcome;
use crate::outbox::Pending;

/// What became of jobs that did not arrive.
#[derive(Debug, Default)]
struct Put {
    /// Until when all of the channel has to be left alone, if it asked for that.
    asked_until: Option<std::time::Duration>,
    /// When the first of those landed that are given up (milliseconds since the epoch), if any are.
    given_up: Option<i64>,
}

/// Whose fault it is that jobs did not arrive.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Their own.
    Own,
    /// The channel's, which may have asked to be left alone for a time.
    Channel { asked: Option<std::time::Duration> },
}

impl Runner<'_> {
    /// Gives work to the threads: each channel has its turn, whatever the others do.
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

    /// The first jobs of a lane that may go together: those of one step, or those that were held back and are due.
    fn due_jobs(&self, name: &str, lane: &str) -> Vec<Pending> {
        let Some(served) = self.served.get(name) else { return Vec::new() };
        let state = served.ledger.state();
        // The lane's turn is that of the first; the clock on the wall may say otherwise since.
        let Some(first) = state.lane(lane).next() else { return Vec::new() };
        let together = |job: &Pending| match first.not_before {
            Some(_) => job.not_before.is_some() && self.due(job).is_none(),
            None => job.not_before.is_none() && job.origin == first.origin && self.due(job).is_none(),
        };
        let most = served.channel.most().max(1);
        let rest = state.lane(lane).skip(1).take(most - 1).take_while(|job| together(job));
        [first].into_iter().chain(rest).cloned().collect()
    }

    /// A thread is done with a lane.
    pub(super) fn freed(&mut self, name: &str, lane: &str) {
        let Some(served) = self.served.get_mut(name) else { return };
        served.lanes.free(lane);
        self.put_lanes(name, &[lane.to_owned()]);
    }

    /// Writes down what came of an attempt. Where that fails, it is as if the attempt had not been; then the same would be
    /// sent again at once and as fast as it can, so the channel is left alone for a while.
    pub(super) fn settle(&mut self, attempt: Attempt) {
        let Attempt { channel, lane, jobs, outcome } = attempt;
        let noted = match outcome {
            Outcome::Delivered(said) => self.arrived(&channel, &jobs, &said),
            Outcome::Retry { why, after } => self.failed(&channel, &lane, &jobs, &why, after),
            Outcome::Deferred { why } => self.not_yet(&channel, &lane, &jobs, &why, Fault::Own).map(drop),
            Outcome::Refused { why } => self.never(&channel, &jobs, &why),
            Outcome::Gone { why } => {
                self.summary.failed += 1;
                self.options.counters.failed();
                self.suspend(&channel, &why)
            }
        };
        if let Err(e) = noted {
            self.leave_alone(&channel, &lane);
            self.complain("what came of a delivery cannot be written down; it may be sent again", &e);
        }
    }

    /// Nothing can be noted of a channel just now: it is left alone, and so is the lane when others are heard of.
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

    /// The channel did not take the jobs. Where several lanes fail it is left alone for a while, and where nothing arrived
    /// for as long as jobs are tried, it is switched off (SEC-77).
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
        // With many lanes that take turns to try, the time may be over long before any job was tried often enough.
        let is_over = state.failing().is_some_and(|failing| self.backoff.is_over(failing, now));
        if is_over || put.given_up.is_some_and(|landed| !state.arrived_since(landed)) {
            let why = format!("nothing arrived for as long as deliveries are tried; the last time: {why}");
            return self.suspend(channel, &why);
        }
        Ok(())
    }

    /// The jobs wait for their next attempt, or are given up.
    fn not_yet(
        &mut self,
        channel: &str,
        lane: &str,
        jobs: &[String],
        why: &str,
        fault: Fault,
    ) -> Result<Put, WatchError> {
        let asked = match fault {
            Fault::Own => None,
            Fault::Channel { asked } => asked,
        };
        let (now, elapsed) = (self.options.clock.now(), self.options.clock.elapsed());
        self.options.counters.failed();
        self.summary.failed += 1;
        let Some(served) = self.served.get_mut(channel) else { return Ok(Put::default()) };
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
        // Who asks to be left alone means all of the channel, but no longer than we would wait anyway.
        Ok(Put { asked_until: asked.and(waits).map(|wait| elapsed + wait), given_up })
    }

    fn never(&mut self, channel: &str, jobs: &[String], why: &str) -> Result<(), WatchError> {
        self.options.counters.failed();
        self.summary.failed += 1;
        jobs.iter().try_for_each(|id| self.bury(channel, id, why))
    }

    /// A job is no longer tried.
    fn bury(&mut self, channel: &str, id: &str, why: &str) -> Result<(), WatchError> {
        let now = self.options.clock.now();
        let Some(served) = self.served.get_mut(channel) else { return Ok(()) };
        served.ledger.died(id, now, why)?;
        self.options.counters.died();
        self.summary.dead += 1;
        let text = "a delivery is given up; `greenroom webhook replay --dead` tries it again";
        self.say(Message::new(Level::Error, text).with("channel", channel).with("id", id).with("why", why));
        Ok(())
    }
}
