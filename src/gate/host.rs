//! Who pushed, as the git host says: each kind of host names the pusher in its own way.

/// Who pushed, as the transport authenticated him.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pusher {
    /// The login at the host, if it has one.
    pub login: Option<String>,
    /// The e-mail address, if the host tells it.
    pub email: Option<String>,
    /// How the host knew him, for the record: `gitolite`, `http`, `ssh-key` …
    pub via: String,
    /// What else belongs to the record: the key, the protocol, the page where a merge was made.
    pub detail: Option<String>,
}
