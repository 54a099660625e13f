//! git-http-backend behind nginx with basic authentication.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::daemon::{Daemon, account};
use super::page;
use super::scenario::{self, ALICE, Person, Server};
use crate::support::{Sandbox, Shell, tools};

struct Nginx<'s> {
    sandbox: &'s Sandbox,
    _daemons: [Daemon; 2],
    port: u16,
}

impl Server for Nginx<'_> {
    fn bare(&self) -> PathBuf {
        self.sandbox.path("srv/git/registry.git")
    }

    fn url(&self, person: Person) -> String {
        format!("http://{}@127.0.0.1:{}/registry.git", person.login, self.port)
    }

    fn client<'s>(&self, shell: Shell<'s>, person: Person) -> Shell<'s> {
        let ask = self.sandbox.path(format!("ask-{}", person.login));
        std::fs::write(&ask, format!("#!/bin/sh\necho {}-secret\n", person.login)).expect("writable");
        std::fs::set_permissions(&ask, PermissionsExt::from_mode(0o755)).expect("writable");
        shell.env("GIT_ASKPASS", ask)
    }
}

fn path(sandbox: &Sandbox, inner: &str) -> String {
    sandbox.path(inner).to_str().expect("UTF-8").to_owned()
}

/// The guide's server block, in a configuration that touches nothing outside the sandbox.
fn configuration(sandbox: &Sandbox, port: u16) -> String {
    let exec = sandbox.git(["--exec-path"]).success().stdout().trim().to_owned();
    let server = page::text(
        "nginx",
        "registry.conf",
        &[
            ("listen 443 ssl;", format!("listen 127.0.0.1:{port};")),
            ("ssl_certificate /etc/ssl/certs/git.example.org.pem;", String::new()),
            ("ssl_certificate_key /etc/ssl/private/git.example.org.key;", String::new()),
            ("/srv/git", path(sandbox, "srv/git")),
            ("/etc/nginx/registry.htpasswd", path(sandbox, "htpasswd")),
            ("/run/fcgiwrap.socket", path(sandbox, "fcgi.socket")),
            ("/usr/lib/git-core", exec),
        ],
    );
    let user = if account() == "root" { "user root;\n" } else { "" };
    let temporary: String = ["client_body", "fastcgi", "proxy", "scgi", "uwsgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {};\n", path(sandbox, &format!("nginx/{kind}"))))
        .collect();
    format!(
        "{user}daemon off;\npid {pid};\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n",
        pid = path(sandbox, "nginx/pid"),
    )
}

fn served(sandbox: &Sandbox) -> (Nginx<'_>, String) {
    tools::git_hosts();
    let places = [
        ("/srv/git", path(sandbox, "srv/git")),
        ("/etc/nginx/registry.htpasswd", path(sandbox, "htpasswd")),
        ("https://alice@git.example.org", "http://alice@127.0.0.1:PORT".to_owned()),
    ];
    let guide = page::text("nginx", "README.md", &places);
    page::run(&guide, "server", &sandbox.shell("Root", "root@example.org"));
    let socket = sandbox.path("fcgi.socket");
    let mut fcgiwrap = sandbox.shell("Root", "root@example.org").command("/usr/sbin/fcgiwrap");
    fcgiwrap.args(["-f", "-c", "2", "-s"]).arg(format!("unix:{}", socket.display()));
    let wrapper = Daemon::start(&mut fcgiwrap, &sandbox.path("fcgi.log"), || UnixStream::connect(&socket).is_ok());
    sandbox.write("nginx/.keep", "");
    let (nginx, port) = Daemon::on_a_port(&sandbox.path("nginx.log"), |port| {
        sandbox.write("nginx.conf", configuration(sandbox, port));
        let mut command = sandbox.shell("Root", "root@example.org").command("/usr/sbin/nginx");
        command.arg("-c").arg(sandbox.path("nginx.conf")).arg("-p").arg(sandbox.path("nginx")).args(["-e", "stderr"]);
        command
    });
    let server = Nginx { sandbox, _daemons: [wrapper.expect("fcgiwrap runs"), nginx], port };
    (server, guide.replace("PORT", &port.to_string()))
}

#[test]
fn a_web_server_that_asks_for_passwords() {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    let (server, guide) = served(&sandbox);
    scenario::tell(&sandbox, &server);
    sandbox.write("guide/.keep", "");
    let said = page::run(&guide, "client", &server.client(sandbox.alice(), ALICE).within("guide"));
    assert!(said.contains("main -> main"), "{said}");
    // A wrong password, or none, gives no access.
    let url = server.url(ALICE);
    let wrong = sandbox.alice().env("GIT_ASKPASS", "true");
    wrong.git(["ls-remote", &url]).code(128);
    let nobody = url.replace("alice@", "");
    sandbox.alice().git(["ls-remote", &nobody]).code(128);
}
