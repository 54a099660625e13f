//! A scripted tracking server to copy models from, which can behave badly.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::{Value, json};

/// The `MLmodel` file of its model.
pub(super) const MLMODEL: &str = "flavors: {}\nmodel_id: m-0123456789abcdef0123456789abcdef\n";

/// The behaviour of the server.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    /// The token that it requires.
    pub(super) token: Option<&'static str>,
    /// The status of every answer.
    pub(super) status: Option<u16>,
    /// The redirect target of file requests.
    pub(super) redirect: Option<String>,
    /// The name of the model's other file.
    pub(super) name: &'static str,
    /// Whether it sends fewer bytes of that file than announced.
    pub(super) short: bool,
    /// The artifact URI that it reports for the model.
    pub(super) artifact_uri: Option<&'static str>,
    /// Whether it sends no response until the test lets it continue.
    pub(super) stalls: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            token: None,
            status: None,
            redirect: None,
            name: "a b.bin",
            short: false,
            artifact_uri: None,
            stalls: false,
        }
    }
}

/// The requests so far, and whether the server may answer.
#[derive(Debug, Default)]
struct Seen {
    asked: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

/// The server. Its threads end with the test's process.
#[derive(Debug)]
pub(super) struct Upstream {
    port: u16,
    seen: Arc<Seen>,
}

impl Upstream {
    /// Starts a server on a free port of `localhost`.
    pub(super) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, behaviour) = (Arc::clone(&shared), behaviour.clone());
                thread::spawn(move || serve(stream, &seen, &behaviour));
            }
        });
        Self { port, seen }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The requests so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.seen.asked.lock().expect("no thread fails with it").0.clone()
    }

    /// Waits for the first request.
    pub(super) fn wait_until_asked(&self) {
        let asked = self.seen.asked.lock().expect("no thread fails with it");
        drop(self.seen.changed.wait_while(asked, |(asked, _)| asked.is_empty()).expect("no thread fails with it"));
    }

    /// Lets the server answer.
    pub(super) fn go_on(&self) {
        self.seen.asked.lock().expect("no thread fails with it").1 = true;
        self.seen.changed.notify_all();
    }
}

/// Answers the requests of a connection, one after the other.
fn serve(mut stream: TcpStream, seen: &Seen, behaviour: &Behaviour) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let target = head[0].split(' ').nth(1).expect("a target").to_owned();
        let mut asked = seen.asked.lock().expect("no thread fails with it");
        asked.0.push(target.clone());
        seen.changed.notify_all();
        if behaviour.stalls {
            asked = seen.changed.wait_while(asked, |(_, go_on)| !*go_on).expect("no thread fails with it");
        }
        drop(asked);
        let known = behaviour.token.is_none_or(|token| {
            head.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {token}")))
        });
        let (status, headers, body) = match behaviour.status {
            _ if !known => (401, String::new(), Vec::new()),
            Some(status) => (status, String::new(), Vec::new()),
            None => answer(&target, behaviour),
        };
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
            return;
        }
    }
}

fn answer(target: &str, behaviour: &Behaviour) -> (u16, String, Vec<u8>) {
    let said = |value: Value| (200, "Content-Type: application/json\r\n".to_owned(), value.to_string().into_bytes());
    let folder = format!("1/models/{}/artifacts", super::MODEL_ID);
    let uri = behaviour.artifact_uri.map_or_else(|| format!("mlflow-artifacts:/{folder}"), str::to_owned);
    let api = "/api/2.0/mlflow-artifacts/artifacts";
    let model = json!({ "model": {
        "info": { "model_id": super::MODEL_ID, "name": "model", "artifact_uri": uri, "source_run_id": super::RUN_ID },
        "data": { "params": [{ "key": "depth", "value": "3" }], "metrics": [{ "key": "loss", "value": "NaN", "step": "1" }] },
    }});
    let run = json!({ "run": {
        "info": { "run_id": super::RUN_ID, "artifact_uri": "mlflow-artifacts:/1/run/artifacts" },
        "data": {
            "params": [{ "key": "C", "value": "0.1" }],
            "metrics": [{ "key": "auc", "value": 0.91, "timestamp": 1_772_366_400_000_i64, "step": 3 }],
        },
        "outputs": { "model_outputs": [{ "model_id": super::MODEL_ID, "step": 0 }] },
    }});
    let file = |bytes: &[u8]| match &behaviour.redirect {
        Some(to) => (302, format!("Location: {to}\r\n"), Vec::new()),
        None => (200, String::new(), bytes.to_vec()),
    };
    let weights = vec![0; if behaviour.short { 19_999 } else { 20_000 }];
    if target == format!("/api/2.0/mlflow/logged-models/{}", super::MODEL_ID) {
        said(model)
    } else if target == format!("/api/2.0/mlflow/runs/get?run_id={}", super::RUN_ID) {
        said(run)
    } else if target == format!("{api}?path={folder}") {
        said(
            json!({ "files": [{ "path": "MLmodel", "is_dir": false, "file_size": MLMODEL.len() }, { "path": "data", "is_dir": true }] }),
        )
    } else if target == format!("{api}?path={folder}/data") {
        said(json!({ "files": [{ "path": behaviour.name, "is_dir": false, "file_size": "20000" }] }))
    } else if target == format!("{api}/{folder}/MLmodel") {
        file(MLMODEL.as_bytes())
    } else if target == format!("{api}/{folder}/data/a%20b.bin") {
        file(&weights)
    } else {
        (404, String::new(), b"{}".to_vec())
    }
}
