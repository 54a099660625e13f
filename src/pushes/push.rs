//! One push of one reference, and its TOML form.

use schemars::JsonSchema;
use serde::Serialize;

use crate::format::read::{Fields, FromTable, FromToml, Node, read};
use crate::format::write::{self, Item, Table, ToTable, ToToml, put, put_some};
use crate::format::{MAX_FILE, Problem, strict};
use crate::name::UserName;
use crate::text::is_plain;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The longest value, in bytes: an RSA public key is long.
const MAX_WORD: usize = 4096;

/// The largest number of tables in one text.
pub(super) const MAX_TABLES: usize = 1000;

/// One moved reference of a push: one `[[push]]` table of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Push {
    /// The push's number: 1, 2, 3 … without a gap. All references of one push share it.
    pub number: u64,
    /// The full name of the reference: `refs/heads/main`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The object before the push; absent if the push created the reference.
    pub old: Option<Oid>,
    /// The object after the push; absent if the push deleted the reference.
    pub new: Option<Oid>,
    /// When the push was recorded, by the clock of the machine that accepted it.
    pub at: Timestamp,
    /// The pusher as a person of the registry, if known.
    pub by: Option<UserName>,
    /// The login at the host, if there is one.
    pub login: Option<String>,
    /// The e-mail address that the host gives, if there is no login.
    pub email: Option<String>,
    /// How the host identified the pusher: `gitolite`, `http`, `ssh-key` …
    pub via: String,
    /// The public key of the connection, if nothing else identifies the pusher.
    pub key: Option<String>,
    /// Further details from the host: the protocol, the page of a merge.
    pub detail: Option<String>,
}

impl Push {
    /// Whether two tables belong to the same push: they differ only in the reference and its objects.
    pub(super) fn is_of_same_push(&self, other: &Self) -> bool {
        let Self { reference, old, new, .. } = self.clone();
        Self { reference, old, new, ..other.clone() } == *self
    }
}

/// The text of a note, or of the message of a commit of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PushTables {
    push: Vec<Push>,
}

/// Prints pushes, each as a `[[push]]` table.
pub(super) fn print(pushes: &[Push]) -> String {
    pushes.iter().map(print_one).collect::<Vec<_>>().join("\n")
}

fn print_one(push: &Push) -> String {
    let mut table = Table::new();
    push.to_table(&mut table);
    format!("[[push]]\n{table}")
}

/// Parses the output of [`print`]; problems name the text by `place`. Any other text is refused.
pub(super) fn parse(place: &str, text: &[u8]) -> Result<Vec<Push>, Vec<Problem>> {
    if text.len() as u64 > MAX_FILE {
        let message = format!("it has {} bytes; at most {MAX_FILE} are read", text.len());
        return Err(vec![Problem::of_file(place, "size", message)]);
    }
    let (tables, mut problems) = read::<PushTables>(place, text);
    if let Ok(text) = std::str::from_utf8(text) {
        problems.extend(strict::check(place, text));
    }
    match tables {
        Some(tables) if problems.is_empty() => Ok(tables.push),
        Some(_) | None => Err(problems),
    }
}

/// Converts text to a value for a record: characters that are not plain are replaced, long text is truncated.
pub(super) fn word(text: &str) -> String {
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' }).collect();
    let mut end = plain.len().min(MAX_WORD);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    plain.get(..end).unwrap_or_default().to_owned()
}

/// An object id in a record.
struct Id(Oid);

/// A value in a record.
struct Word(String);

impl FromToml for Id {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let hex = node.string()?;
        let is_hex = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let id = Oid::from_hex(hex).filter(|_| is_hex);
        node.check("value", id.map(Self).ok_or("an object id must have 40 or 64 hexadecimal digits"))
    }
}

impl FromToml for Word {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let text = node.string()?;
        let is_word = text.len() <= MAX_WORD && !text.is_empty() && text.chars().all(is_plain);
        node.check("value", if is_word { Ok(Self(text.to_owned())) } else { Err("it is not one line of plain text") })
    }
}

impl ToToml for Id {
    fn to_toml(&self) -> Item {
        write::string(&self.0.to_string())
    }
}

impl ToToml for Word {
    fn to_toml(&self) -> Item {
        write::string(&self.0)
    }
}

impl FromTable for Push {
    fn from_table(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let number = fields.required("number");
        let reference = fields.required::<Word>("ref");
        let (old, new) = (fields.optional::<Id>("old"), fields.optional::<Id>("new"));
        let at = fields.required("at");
        let by = fields.optional("by");
        let login = fields.optional::<Word>("login");
        let email = fields.optional::<Word>("email");
        let via = fields.required::<Word>("via");
        let key = fields.optional::<Word>("key");
        let detail = fields.optional::<Word>("detail");
        Some(Self {
            number: number?,
            reference: reference?.0,
            old: old.map(|i| i.0),
            new: new.map(|i| i.0),
            at: at?,
            by,
            login: login.map(|w| w.0),
            email: email.map(|w| w.0),
            via: via?.0,
            key: key.map(|w| w.0),
            detail: detail.map(|w| w.0),
        })
    }
}

impl ToTable for Push {
    fn to_table(&self, out: &mut Table) {
        let words = |w: &Option<String>| w.clone().map(Word);
        put(out, "number", &self.number);
        put(out, "ref", &Word(self.reference.clone()));
        put_some(out, "old", self.old.map(Id).as_ref());
        put_some(out, "new", self.new.map(Id).as_ref());
        put(out, "at", &self.at);
        put_some(out, "by", self.by.as_ref());
        put_some(out, "login", words(&self.login).as_ref());
        put_some(out, "email", words(&self.email).as_ref());
        put(out, "via", &Word(self.via.clone()));
        put_some(out, "key", words(&self.key).as_ref());
        put_some(out, "detail", words(&self.detail).as_ref());
    }
}

impl FromToml for Push {
    fn from_toml(node: Node<'_, '_>) -> Option<Self> {
        let mut fields = node.fields()?;
        let push = Self::from_table(&mut fields);
        fields.finish();
        let push = push?;
        if push.number == 0 || (push.old.is_none() && push.new.is_none()) {
            return node.wrong("value", "a push must have a number, 1 or greater, and an old or a new id");
        }
        Some(push)
    }
}

impl FromTable for PushTables {
    fn from_table(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let some = |pushes: &Vec<Push>| match pushes.len() {
            1..=MAX_TABLES => Ok(()),
            _ => Err("a record must have 1 to 1000 tables"),
        };
        fields.checked("push", some).map(|push| Self { push })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push() -> Push {
        Push {
            number: 17,
            reference: "refs/heads/main".to_owned(),
            old: Oid::from_hex(&"1a".repeat(20)),
            new: Oid::from_hex(&"2b".repeat(20)),
            at: Timestamp::from_millis(1_772_366_400_125),
            by: UserName::new("bob").ok(),
            login: Some("bobby".to_owned()),
            email: None,
            via: "gitolite".to_owned(),
            key: Some("ssh-ed25519 AAAA".to_owned()),
            detail: Some("key \"id\" \\ ü".to_owned()),
        }
    }

    #[test]
    fn a_push_is_a_table() {
        let bare = Push {
            number: 18,
            old: None,
            by: None,
            login: None,
            email: Some("b@example.org".to_owned()),
            key: None,
            detail: None,
            ..push()
        };
        let text = print(&[push(), bare.clone()]);
        let first = "[[push]]\nnumber = 17\nref = \"refs/heads/main\"\nold = \"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a\"\n\
                     new = \"2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b\"\nat = 2026-03-01T12:00:00.125Z\nby = \"bob\"\n\
                     login = \"bobby\"\nvia = \"gitolite\"\n";
        assert!(text.starts_with(first), "{text}");
        assert_eq!(parse("x", text.as_bytes()), Ok(vec![push(), bare]));
    }

    #[test]
    fn a_text_that_is_not_exactly_a_record_is_damaged_and_says_where() {
        let good = print(&[push()]);
        for (from, to, line) in [
            ("number = 17", "number = 0", 1),
            ("number = 17\n", "", 1),
            ("number = 17", "number = \"17\"", 2),
            ("refs/heads/main", "", 3),
            ("1a1a", "1A1A", 4),
            ("1a1a", "", 4),
            ("2026-03-01T12:00:00.125Z", "2026-03-01", 6),
            ("by = \"bob\"", "by = \"bo b\"", 7),
            ("login = ", "log = ", 8),
            ("gitolite", "git\\u001bolite", 9),
            ("via = \"gitolite\"\n", "", 1),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            let problems = parse("the note of x", bad.as_bytes()).unwrap_err();
            assert!(problems.iter().any(|p| p.line == line && p.path == "the note of x"), "{to}: {problems:?}");
        }
        for bad in ["", "x", "push = 1", "[[push]]", "\u{feff}", "other = 1"] {
            assert!(parse("x", bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse("x", &[0xff, 0xfe]).is_err());
        assert!(parse("x", good.repeat(2000).as_bytes()).is_err(), "too large");
    }

    #[test]
    fn words_from_outside_are_made_plain() {
        assert_eq!(word("a\nb\u{202e}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(word(&format!("a{}", "ü".repeat(3000))).len(), 4095);
    }
}
