//! The fuzz targets: every reader of external input, as a function of bytes that must not panic and whose results must
//! agree. `tests/fuzz` runs them under libFuzzer, `tests/it/fuzz.rs` with every test.

use greenroom::artifact::Pointer;
use greenroom::entity::person::SigningKey;
use greenroom::entity::settings::Layout;
use greenroom::entity::{
    Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook,
};
use greenroom::format::path::{Location, decode, encode};
use greenroom::format::{EntityFile, parse, parse_strict, print};
use greenroom::gate::{Update, ascii};
use greenroom::git::Mailmap;
use greenroom::name::UserName;
use greenroom::reference::ModelRef;
use greenroom::search::{Query, TokenKey};
use greenroom::signature::{PublicKey, SignatureFinding, check};
use greenroom::text::Text;
use greenroom::time::Timestamp;

/// The name and function of a reader.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("toml", toml),
    ("ref_line", ref_line),
    ("path", path),
    ("pointer", pointer),
    ("search", search),
    ("reference", reference),
    ("mailmap", mailmap),
    ("signature", signature),
];

/// The files of the registry, each kind by each reader.
pub fn toml(data: &[u8]) {
    kind::<Settings>(data);
    kind::<Access>(data);
    kind::<Person>(data);
    kind::<Webhook>(data);
    kind::<Model>(data);
    kind::<StagePointer>(data);
    kind::<AliasPointer>(data);
    kind::<Version>(data);
    kind::<Request>(data);
    kind::<Comment>(data);
}

fn kind<T: EntityFile + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let (lenient, _) = parse::<T>("file.toml", data);
    let (strict, problems) = parse_strict::<T>("file.toml", data);
    for problem in &problems {
        assert!(!problem.to_string().contains('\u{1b}'), "no fault carries an escape to a terminal");
    }
    // If the strict reader finds no fault, the lenient reader gives the same value, which survives writing and
    // reading.
    if let (Some(value), true) = (&strict, problems.is_empty()) {
        assert_eq!(lenient.as_ref(), Some(value));
        let (again, faults) = parse_strict::<T>("file.toml", print(value).as_bytes());
        assert_eq!((again.as_ref(), faults.as_slice()), (Some(value), [].as_slice()));
    }
}

/// A line of git about a reference.
pub fn ref_line(data: &[u8]) {
    if let Ok(update) = Update::parse(data) {
        let side = |id: Option<greenroom::tree::Oid>, other: Option<greenroom::tree::Oid>| match (id, other) {
            (Some(id), _) => id.to_string(),
            (None, Some(other)) => "0".repeat(other.to_string().len()),
            (None, None) => unreachable!("a line has an id"),
        };
        let line = format!("{} {} {}", side(update.old, update.new), side(update.new, update.old), update.name);
        assert_eq!(Update::parse(line.as_bytes()), Ok(update));
    }
    let shown = ascii(&String::from_utf8_lossy(data));
    assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)));
}

/// A path of the tree, in both layouts, and the encoding of names.
pub fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for layout in Layout::ALL {
        let _ = Location::parse(&text, layout);
    }
    assert_eq!(decode(&encode(&text)).as_deref(), Some(text.as_ref()));
    if let Some(name) = decode(&text) {
        assert_eq!(encode(&name), text, "a name has one spelling");
    }
}

/// A Git LFS pointer.
pub fn pointer(data: &[u8]) {
    if let Ok(Some(pointer)) = Pointer::parse(data) {
        assert_eq!(Pointer::parse(pointer.to_string().as_bytes()).expect("what we print is right"), Some(pointer));
    }
}

/// A filter, an order and a page token of a search.
pub fn search(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let order: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    let filter = text.lines().next().unwrap_or_default();
    for search in [Query::models(filter, &order), Query::models("", &[])].into_iter().flatten() {
        let _ = search.start(&text, &TokenKey::new([7; 32]));
    }
    let _ = Query::versions(filter, &order);
}

/// A model reference such as `models:/churn/Production@{2026-03-01}`.
pub fn reference(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(found) = text.parse::<ModelRef>() {
        assert_eq!(found.to_string().parse::<ModelRef>().as_ref(), Ok(&found));
    }
}

/// A `.mailmap`.
pub fn mailmap(data: &[u8]) {
    let _ = Mailmap::parse(data);
}

/// A public key and a signature, separated by an empty line: no signature is good unless it was made for this payload.
pub fn signature(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, signature) = text.split_once("\n\n").unwrap_or((&text, &text));
    if let Ok(parsed) = PublicKey::parse(key) {
        assert!(!parsed.fingerprint().is_empty());
        let _ = (parsed.vet(), parsed.kind(), parsed.ssh_line());
    }
    let (Ok(user), Ok(key)) = (UserName::new("alice"), Text::new(key)) else { return };
    let key = SigningKey { key, added_at: None, revoked_at: None };
    for armored in [signature.as_bytes(), data] {
        let found = check(b"a payload that nobody signed", armored, [(&user, &key)], Timestamp::from_millis(0));
        assert!(!matches!(found, SignatureFinding::Good { .. }), "a made-up signature is good");
    }
}
