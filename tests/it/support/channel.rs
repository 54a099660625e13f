//! A channel that keeps what it is given and answers on cue, and a watcher in this process that serves it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use greenroom::deliver::{Channel, DeliverError, Due, Happening, Job, Moment, Outcome, Sent, What};
use greenroom::registry::Registry;
use greenroom::watch::{Home, Level, Message, Options, Source, Watcher};

use super::Shell;

/// What the channel was given in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The channel.
    pub channel: String,
    /// The delivery.
    pub id: String,
    /// The happening's own id.
    pub happening: String,
    /// The event's name.
    pub event: String,
    /// The model, or `registry`.
    pub lane: String,
    /// What happened, printed.
    pub text: String,
    /// How often it was tried before.
    pub attempt: u32,
    /// When.
    pub at: Instant,
    /// Whether it was taken.
    pub taken: bool,
}

type Act = dyn Fn(&Told) -> Outcome + Send + Sync;

/// What all channels of a test were given.
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

    /// What was taken, in order.
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
            assert!(!left.is_zero(), "waited for {what}; told: {events:#?}\nsaid: {:#?}", self.said());
            told = self.more.wait_timeout(told, left).expect("no thread failed").0;
        }
        told.clone()
    }

    /// What the watcher said.
    pub fn said(&self) -> Vec<String> {
        let said = self.said.lock().expect("no thread failed");
        said.iter().map(|m| format!("{:?} {} {:?}", m.level, m.text, m.details)).collect()
    }

    /// Whether the watcher said something with these words that matters so much.
    pub fn has_said(&self, level: Level, words: &str) -> bool {
        let said = self.said.lock().expect("no thread failed");
        said.iter().any(|m| m.level == level && m.text.contains(words))
    }

    /// Waits until the watcher has said something with these words that matters so much.
    #[track_caller]
    pub fn hear(&self, level: Level, words: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.has_said(level, words) {
            assert!(Instant::now() < end, "waited for {words:?}: {:#?}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Options of a watcher that tells this book.
    pub fn options(self: &Arc<Self>, source: Source) -> Options {
        let book = Arc::clone(self);
        let tell = move |message: &Message| {
            book.said.lock().expect("no thread failed").push(message.clone());
            book.more.notify_all();
        };
        Options { source, ..Options::new(Arc::new(tell)) }
    }

    /// A channel that writes into this book.
    pub fn channel(self: &Arc<Self>, name: &str, act: impl Fn(&Told) -> Outcome + Send + Sync + 'static) -> Fake {
        Fake { name: name.to_owned(), book: Arc::clone(self), act: Arc::new(act), most: 1 }
    }
}

/// A channel that tells of every event, in lanes by model.
#[derive(Clone)]
pub struct Fake {
    name: String,
    book: Arc<Book>,
    act: Arc<Act>,
    most: usize,
}

impl Fake {
    /// The same, putting as many as this into one message.
    pub fn putting_together(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl Channel for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn jobs(&self, happening: &Happening, moment: &Moment<'_>) -> Result<Vec<Job>, DeliverError> {
        assert!(moment.tip.settings()?.is_some(), "the newest state is there");
        let key = happening.what.name().to_owned();
        // What goes together is held back, if only until now.
        let not_before = (self.most > 1).then_some(happening.at);
        Ok(vec![Job { lane: lane(happening), key, not_before }])
    }

    fn most(&self) -> usize {
        self.most
    }

    fn send(&self, due: &[Due<'_>], _: &Moment<'_>) -> Sent {
        let told = |due: &Due<'_>| Told {
            channel: self.name.clone(),
            id: due.id.to_owned(),
            happening: due.happening.id(),
            event: due.happening.what.name().to_owned(),
            lane: due.job.lane.clone(),
            text: format!("{:?}", due.happening.what),
            attempt: due.attempt,
            at: Instant::now(),
            taken: false,
        };
        let outcome = (self.act)(&told(&due[0]));
        let taken = matches!(outcome, Outcome::Delivered(_));
        let mut book = self.book.lock();
        book.extend(due.iter().map(|d| Told { taken, ..told(d) }));
        self.book.more.notify_all();
        Sent { taken: due.len(), outcome }
    }
}

/// The model that a happening is about.
fn lane(happening: &Happening) -> String {
    let model = match &happening.what {
        What::Event(event) => event.model().map(ToString::to_string),
        What::RuleViolated { .. } | What::HistoryRewritten { .. } | What::WebhookSuspended { .. } => None,
    };
    model.unwrap_or_else(|| "registry".to_owned())
}

/// An outcome.
pub fn delivered() -> Outcome {
    Outcome::Delivered("taken".to_owned())
}

/// An outcome.
pub fn retry() -> Outcome {
    Outcome::Retry { why: "500".to_owned(), after: None }
}

/// A source that always gives these channels.
pub fn always(channels: Vec<Fake>) -> Source {
    Arc::new(move |_, _| Ok(channels.iter().cloned().map(|c| Box::new(c) as Box<dyn Channel>).collect()))
}

/// A source that gives a channel for each webhook that is active.
pub fn by_webhook(channel: impl Fn(&str) -> Fake + Send + Sync + 'static) -> Source {
    Arc::new(move |_, tip| {
        let active = |w: &greenroom::entity::Webhook| w.state == greenroom::entity::webhook::WebhookState::Active;
        let webhooks = tip.webhooks()?.into_iter().filter(|(_, f)| f.value.as_ref().is_some_and(active));
        Ok(webhooks.map(|(id, _)| Box::new(channel(id.as_str())) as Box<dyn Channel>).collect())
    })
}

/// The registry in a shell's folder, in this process.
#[track_caller]
pub fn home(shell: &Shell<'_>) -> Home {
    Home::of(&Registry::discover(&shell.folder()).expect("a registry"))
}

/// A watcher that ends with the value, and says why if it failed.
pub struct Running(Option<Watcher>);

impl Running {
    /// Starts one.
    #[track_caller]
    pub fn start(home: &Home, options: Options) -> Self {
        Self(Some(Watcher::start(home.clone(), options).expect("a thread")))
    }

    /// Ends it and waits for that.
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
