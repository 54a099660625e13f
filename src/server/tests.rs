//! Tests of the whole server within this process.

use std::net::Ipv4Addr;

use super::*;
use crate::time::Timestamp;

#[test]
fn a_thread_that_panics_ends_the_server_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    drop(Repo::init(dir.path(), true).unwrap());
    let local = Ident::new("Alice", "alice@example.org", Timestamp::from_seconds(1_800_000_000));
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config { local: Some(local), ..Config::new(dir.path().to_owned(), bind) };
    let supervisor = Arc::new(Supervisor::default());
    let own = Arc::clone(&supervisor);
    let ended = supervised(&config, &supervisor, |_| {
        own.spawn("sorter", || panic!("out of order")).unwrap();
    });
    match ended {
        Err(ServeError::Failed(Failure { thread, message })) => {
            assert_eq!((thread.as_str(), message.as_str()), ("sorter", "out of order"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_task_that_panics_is_a_failure_and_one_that_ends_is_none() {
    let supervisor = Arc::new(Supervisor::default());
    watched(&supervisor, "well", async {}).await.unwrap();
    assert_eq!(supervisor.failure(), None);
    watched(&supervisor, "requests", async { panic!("no more") }).await.unwrap();
    assert_eq!(supervisor.failure().map(|f| f.thread).as_deref(), Some("requests"));
}
