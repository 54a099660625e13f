//! A scripted mail server: `tests/python/smtp_sink.py`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::tools;

/// A running mail server, whose folder outlives it.
#[derive(Debug)]
pub struct Sink {
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl Sink {
    /// Starts a server on a free port that stores accepted mails in a folder.
    #[track_caller]
    pub fn start(folder: &Path, options: &[&str]) -> Self {
        fs::create_dir_all(folder).expect("the sandbox is writable");
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        let mut sink = Self { folder: folder.to_owned(), port: 0, options, child: None };
        sink.revive();
        sink
    }

    /// Starts the server again on the same port, after it died or was killed.
    #[track_caller]
    pub fn revive(&mut self) {
        self.kill();
        let mut command = Command::new(tools::python());
        command.arg(tools::python_script("smtp_sink.py")).arg(&self.folder).arg(self.port.to_string());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        command.args(&self.options).stdout(Stdio::piped()).stderr(log.expect("the sandbox is writable"));
        let mut child = command.spawn().expect("python runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it says its port");
        self.port = line.trim().parse().expect("it says its port");
        self.child = Some(child);
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whether the server has ended by itself.
    pub fn has_died(&mut self) -> bool {
        self.child.as_mut().is_none_or(|c| matches!(c.try_wait(), Ok(Some(_))))
    }

    /// Waits until a server that was told to die ends.
    #[track_caller]
    pub fn dies(&mut self) {
        for _ in 0..500 {
            if self.has_died() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the mail server lives");
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the server's answers.
    pub fn answers(&self, answers: &Value) {
        let new = self.folder.join("answers.new");
        fs::write(&new, answers.to_string()).expect("the sandbox is writable");
        fs::rename(new, self.folder.join("answers.json")).expect("the sandbox is writable");
    }

    /// The accepted mails, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        let text = fs::read_to_string(self.folder.join("mails.jsonl")).unwrap_or_default();
        // A line that was cut off when the server was killed is not a mail: its client got no confirmation.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).map(Mail).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An accepted mail.
#[derive(Debug, Clone)]
pub struct Mail(pub Value);

impl Mail {
    /// The recipient in the SMTP envelope.
    pub fn to(&self) -> &str {
        self.0["to"][0].as_str().expect("a recipient")
    }

    /// The value of a header, decoded.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.0["headers"].as_array().expect("headers");
        all.iter().find(|h| h[0].as_str() == Some(name)).and_then(|h| h[1].as_str())
    }

    /// The Message-ID.
    pub fn id(&self) -> &str {
        self.header("Message-ID").expect("a mail has an id")
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        self.header("Subject").expect("a mail has a subject")
    }

    /// The plain text.
    pub fn text(&self) -> &str {
        self.0["text"].as_str().expect("a text")
    }
}
