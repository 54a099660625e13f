//! A channel that records its deliveries and answers as scripted, and a watcher in this process that uses it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use greenroom::deliver::{
    AttemptOutcome, BatchOutcome, Channel, DeliverError, DeliveryContext, DeliveryJob, DueJob, Notification,
    NotificationKind,
};
use greenroom::registry::Registry;
use greenroom::watch::{ChannelSource, Message, MessageLevel, WatchOptions, WatchedBranch, Watcher};

use super::Shell;

/// One attempt to deliver, as the channel got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The name of the channel.
    pub channel: String,
    /// The id of the delivery.
    pub id: String,
    /// The id of the event.
    pub notification: String,
    /// The name of the event.
    pub event: String,
    /// The queue: the model, or `registry`.
    pub lane: String,
    /// The event as text.
    pub text: String,
    /// The number of earlier attempts.
    pub attempt: u32,
    /// The time of the attempt.
    pub at: Instant,
    /// Whether the channel accepted it.
    pub taken: bool,
}

type Act = dyn Fn(&Told) -> AttemptOutcome + Send + Sync;

/// The attempts of all channels of a test.
#[derive(Default)]
pub struct Book {
    told: Mutex<Vec<Told>>,
    said: Mutex<Vec<Message>>,
    more: Condvar,
}

impl Book {
    /// All attempts.
    pub fn told(&self) -> Vec<Told> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Told>> {
        self.told.lock().expect("no thread failed")
    }

    /// The accepted attempts, in order.
    pub fn taken(&self) -> Vec<Told> {
        self.lock().iter().filter(|t| t.taken).cloned().collect()
    }

    /// Waits until the attempts are as wanted, half a minute at most.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let end = Instant::now() + Duration::from_secs(30);
        let mut told = self.lock();
        while !wanted(&told) {
            let left = end.saturating_duration_since(Instant::now());
            let events: Vec<_> = told.iter().map(|t| (&t.channel, &t.event, &t.lane, t.taken)).collect();
            assert!(!left.is_zero(), "waited for {what}; delivered: {events:#?}\nsaid: {:#?}", self.said());
            told = self.more.wait_timeout(told, left).expect("no thread failed").0;
        }
        told.clone()
    }

    /// The messages of the watcher.
    pub fn said(&self) -> Vec<String> {
        let said = self.said.lock().expect("no thread failed");
        said.iter().map(|m| format!("{:?} {} {:?}", m.level, m.text, m.details)).collect()
    }

    /// Whether the watcher logged a message with these words at this level.
    pub fn has_said(&self, level: MessageLevel, words: &str) -> bool {
        let said = self.said.lock().expect("no thread failed");
        said.iter().any(|m| m.level == level && m.text.contains(words))
    }

    /// Waits until the watcher has logged a message with these words at this level.
    #[track_caller]
    pub fn hear(&self, level: MessageLevel, words: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.has_said(level, words) {
            assert!(Instant::now() < end, "waited for {words:?}: {:#?}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Options of a watcher that reports to this book.
    pub fn options(self: &Arc<Self>, source: ChannelSource) -> WatchOptions {
        let book = Arc::clone(self);
        let tell = move |message: &Message| {
            book.said.lock().expect("no thread failed").push(message.clone());
            book.more.notify_all();
        };
        WatchOptions { source, ..WatchOptions::new(Arc::new(tell)) }
    }

    /// A channel that records into this book.
    pub fn channel(
        self: &Arc<Self>,
        name: &str,
        act: impl Fn(&Told) -> AttemptOutcome + Send + Sync + 'static,
    ) -> Fake {
        Fake { name: name.to_owned(), book: Arc::clone(self), act: Arc::new(act), most: 1 }
    }
}

/// A channel for every event, with a queue for each model.
#[derive(Clone)]
pub struct Fake {
    name: String,
    book: Arc<Book>,
    act: Arc<Act>,
    most: usize,
}

impl Fake {
    /// The same channel, with up to `most` events in one message.
    pub fn putting_together(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl Channel for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn jobs(
        &self,
        notification: &Notification,
        moment: &DeliveryContext<'_>,
    ) -> Result<Vec<DeliveryJob>, DeliverError> {
        assert!(moment.tip.settings()?.is_some(), "the newest state is there");
        let key = notification.what.name().to_owned();
        // Events that share a message are held back, if only until now.
        let not_before = (self.most > 1).then_some(notification.at);
        Ok(vec![DeliveryJob { lane: lane(notification), key, not_before }])
    }

    fn most(&self) -> usize {
        self.most
    }

    fn send(&self, due: &[DueJob<'_>], _: &DeliveryContext<'_>) -> BatchOutcome {
        let told = |due: &DueJob<'_>| Told {
            channel: self.name.clone(),
            id: due.id.to_owned(),
            notification: due.notification.id(),
            event: due.notification.what.name().to_owned(),
            lane: due.job.lane.clone(),
            text: format!("{:?}", due.notification.what),
            attempt: due.attempt,
            at: Instant::now(),
            taken: false,
        };
        let outcome = (self.act)(&told(&due[0]));
        let taken = matches!(outcome, AttemptOutcome::Delivered(_));
        let mut book = self.book.lock();
        book.extend(due.iter().map(|d| Told { taken, ..told(d) }));
        self.book.more.notify_all();
        BatchOutcome { taken: due.len(), outcome }
    }
}

/// The model of an event.
fn lane(notification: &Notification) -> String {
    let model = match &notification.what {
        NotificationKind::Event(event) => event.model().map(ToString::to_string),
        NotificationKind::RuleViolated { .. }
        | NotificationKind::HistoryRewritten { .. }
        | NotificationKind::WebhookSuspended { .. } => None,
    };
    model.unwrap_or_else(|| "registry".to_owned())
}

/// The outcome of a successful attempt.
pub fn delivered() -> AttemptOutcome {
    AttemptOutcome::Delivered("taken".to_owned())
}

/// The outcome of an attempt that must be repeated.
pub fn retry() -> AttemptOutcome {
    AttemptOutcome::Retry { why: "500".to_owned(), after: None }
}

/// A source that always returns these channels.
pub fn always(channels: Vec<Fake>) -> ChannelSource {
    Arc::new(move |_, _| Ok(channels.iter().cloned().map(|c| Box::new(c) as Box<dyn Channel>).collect()))
}

/// A source that returns a channel for each active webhook.
pub fn by_webhook(channel: impl Fn(&str) -> Fake + Send + Sync + 'static) -> ChannelSource {
    Arc::new(move |_, tip| {
        let active = |w: &greenroom::entity::Webhook| w.state == greenroom::entity::webhook::WebhookState::Active;
        let webhooks = tip.webhooks()?.into_iter().filter(|(_, f)| f.value.as_ref().is_some_and(active));
        Ok(webhooks.map(|(id, _)| Box::new(channel(id.as_str())) as Box<dyn Channel>).collect())
    })
}

/// The registry in a shell's folder, in this process.
#[track_caller]
pub fn home(shell: &Shell<'_>) -> WatchedBranch {
    WatchedBranch::of(&Registry::discover(&shell.folder()).expect("a registry"))
}

/// A watcher that ends when its value is dropped, and panics with the reason if it failed.
pub struct Running(Option<Watcher>);

impl Running {
    /// Starts a watcher.
    #[track_caller]
    pub fn start(home: &WatchedBranch, options: WatchOptions) -> Self {
        Self(Some(Watcher::start(home.clone(), options).expect("a thread")))
    }

    /// Stops the watcher and waits for its end.
    #[track_caller]
    pub fn end(mut self) {
        if let Some(watcher) = self.0.take() {
            watcher.stop();
            watcher.join().expect("it ends well");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(watcher) = self.0.take() {
            watcher.stop();
            let _ = watcher.join();
        }
    }
}
