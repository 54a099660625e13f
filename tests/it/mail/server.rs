//! Real kinds of mail servers: with a login, with TLS, and OpenSMTPD.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::World;
use super::post::Post;
use crate::support::tools;

/// A password that must not appear anywhere.
const CANARY: &str = "canary-4f1d-mail";

/// The error output of a command that must fail.
#[track_caller]
fn fails(world: &World, password: &str) -> String {
    let bob = world.as_("bob").env("GREENROOM_SECRET_SMTP", password);
    let said = bob.greenroom(["notify", "test"]).code(1).stderr().to_owned();
    assert!(!said.contains(CANARY), "{said}");
    said
}

/// Whether any file of a folder holds a text.
fn holds(folder: &Path, words: &[u8]) -> bool {
    fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).any(|path| {
        if path.is_dir() {
            return holds(&path, words);
        }
        fs::read(&path).is_ok_and(|bytes| bytes.windows(words.len()).any(|w| w == words))
    })
}

#[test]
fn a_login_is_made_with_the_secret_and_the_secret_is_seen_nowhere() {
    let world = World::with(&["--login", "greenroom", CANARY]);
    let url = format!("smtp://greenroom@127.0.0.1:{}", world.sink.port());
    world.set("greenroom.smtp", &url);
    let bob = world.as_("bob");
    let none = bob.greenroom(["notify", "test"]).code(1);
    assert!(none.stderr().contains("the secret smtp is missing"), "{}", none.stderr());
    // The server repeats what it received; greenroom must not pass that on.
    for wrong in [&format!("{CANARY}-wrong"), "wrong"] {
        let said = fails(&world, wrong);
        assert!(said.contains("does not accept the user or the secret smtp (535)"), "{said}");
    }
    let done = bob.env("GREENROOM_SECRET_SMTP", CANARY).greenroom(["notify", "test"]).success();
    let took = format!("127.0.0.1:{} accepted a mail to bob@example.org.\n", world.sink.port());
    assert_eq!((done.stdout(), done.stderr()), (took.as_str(), ""));
    assert_eq!(world.sink.mails()[0].subject(), "[r] Test");
    assert!(!holds(&world.folder(), CANARY.as_bytes()), "the password is in the repository");
    // A password in the URL is refused and not repeated.
    world.set("greenroom.smtp", &format!("smtps://greenroom:{CANARY}@127.0.0.1"));
    let said = fails(&world, "x");
    assert!(said.contains("greenroom.smtp holds a password, which does not belong there"), "{said}");
    let doctor = world.alice().greenroom(["doctor"]).any().0;
    assert!(doctor.contains("fail  mail      greenroom.smtp holds a password") && !doctor.contains(CANARY), "{doctor}");
}

/// A certificate authority and a certificate for localhost, signed by it.
fn certificates(world: &World) -> (String, String, String) {
    tools::git_hosts();
    let path = |name: &str| world.sandbox.path(name).to_str().expect("UTF-8").to_owned();
    let openssl = |args: &[&str]| drop(world.sandbox.alice().run("openssl", args).success());
    let (ca, ca_key, request) = (path("ca.pem"), path("ca.key"), path("request.pem"));
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
    openssl(&[&["req", "-x509", "-subj", "/CN=Test CA", "-keyout", &ca_key, "-out", &ca], &new[..]].concat());
    openssl(&["req", "-subj", "/CN=localhost", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request]);
    world.sandbox.write("names", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n");
    let sign = ["x509", "-req", "-days", "2", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
    openssl(&[&sign[..], &["-extfile", &path("names"), "-out", &certificate]].concat());
    (ca, certificate, key)
}

#[test]
fn tls_is_used_as_it_is_set_and_a_certificate_is_checked() {
    let mut world = World::new();
    let (ca, certificate, key) = certificates(&world);
    for (scheme, kind) in [("smtps", "tls"), ("smtp+starttls", "starttls")] {
        let folder = world.sandbox.path(format!("mails-{kind}"));
        let login = ["--login", "greenroom", CANARY, "--tls", &certificate, &key, kind];
        world.sink = crate::support::smtp::Sink::start(&folder, &login);
        let port = world.sink.port();
        world.set("greenroom.smtp", &format!("{scheme}://greenroom@localhost:{port}"));
        let bob = world.as_("bob").env("GREENROOM_SECRET_SMTP", CANARY);
        let unknown = bob.greenroom(["notify", "test"]).code(1);
        assert!(unknown.stderr().to_ascii_lowercase().contains("certificate"), "{}", unknown.stderr());
        bob.clone().env("SSL_CERT_FILE", &ca).greenroom(["notify", "test"]).success();
        assert_eq!(world.sink.mails()[0].0["tls"], true);
        // A server with another name than the certificate's is refused.
        world.set("greenroom.smtp", &format!("{scheme}://greenroom@127.0.0.1:{port}"));
        bob.env("SSL_CERT_FILE", &ca).greenroom(["notify", "test"]).code(1);
        assert_eq!(world.sink.mails().len(), 1);
    }
    // A server without TLS gets no mail in plain text.
    let folder = world.sandbox.path("mails-plain");
    world.sink = crate::support::smtp::Sink::start(&folder, &["--login", "greenroom", CANARY]);
    world.set("greenroom.smtp", &format!("smtp+starttls://greenroom@localhost:{}", world.sink.port()));
    let said = fails(&world, CANARY);
    assert!(said.contains("cannot start TLS"), "{said}");
    assert_eq!(world.sink.mails().len(), 0);
}

/// A running OpenSMTPD that delivers into folders.
struct OpenSmtpd(Child);

impl Drop for OpenSmtpd {
    fn drop(&mut self) {
        // It is the parent of further processes, and ends them when it gets the signal.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn opensmtpd_delivers_a_mail_into_a_maildir() {
    tools::opensmtpd();
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let maildir = world.sandbox.path("maildir");
    fs::create_dir(&maildir).expect("the sandbox is writable");
    for folder in [maildir.as_path(), maildir.parent().expect("a parent"), maildir.ancestors().nth(2).expect("a root")]
    {
        // It delivers as a user without any permissions.
        world.sandbox.alice().run("chmod", ["a+rwx".as_ref(), folder.as_os_str()]).success();
    }
    let folder = maildir.to_str().expect("UTF-8");
    let queue = world.sandbox.path("smtpd.conf");
    let conf = format!(
        "listen on 127.0.0.1 port {port}\naction \"sink\" maildir \"{folder}/%{{rcpt.user}}\" user nobody virtual {{ \"@\" = \
         nobody }}\nmatch from any for any action \"sink\"\n"
    );
    fs::write(&queue, conf).expect("the sandbox is writable");
    let mut command = Command::new("smtpd");
    command.args(["-d", "-f"]).arg(&queue).stdout(Stdio::null()).stderr(Stdio::null());
    let running = OpenSmtpd(command.spawn().expect("smtpd runs"));
    world.set("greenroom.smtp", &format!("smtp://127.0.0.1:{port}"));
    world.as_("bob").greenroom(["follow", "churn", "1"]).success();
    let mut post = Post::begin(&world.folder());
    world.comment("alice", "Ünïcødé arrives, too: 模型");
    // It may take a moment until it listens.
    let arrived = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        post.run().is_empty()
    });
    assert!(arrived, "OpenSMTPD took no mail");
    let new = maildir.join("bob/new");
    let found = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        fs::read_dir(&new).ok()?.next().map(|e| e.expect("an entry").path())
    });
    let mail = fs::read_to_string(found.expect("the mail is in Bob's folder")).expect("a mail");
    drop(running);
    for line in ["Subject: [r] churn version 1", "Auto-Submitted: auto-generated", "To: bob@example.org"] {
        assert!(mail.lines().any(|l| l.trim_end() == line), "{line} is not in\n{mail}");
    }
    assert!(mail.contains(&format!("Message-ID: <{}@example.org>", post.ids()[0])), "{mail}");
}
