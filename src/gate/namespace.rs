//! Checks the names of pushed references: protected references must stay, the gate's own references must not be pushed,
//! and no name may be mistaken for another.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::GateLimits;
use super::matches;
use super::refs::Update;
use crate::format::Problem;
use crate::git::{GitError, ObjectKind, Repo};
use crate::name::fold;
use crate::rules::{Fault, RuleClass};
use crate::text::{is_plain, quoted};

/// References that only the gate and the server write, or that change how git reads all other objects.
const OWN: &[&str] =
    &["refs/greenroom", "refs/internal", "refs/notes/greenroom", "refs/replace", "refs/tags/greenroom"];

/// The longest name of a reference, in bytes: each part becomes a file name with `.lock` appended.
const MAX_NAME: usize = 240;

/// Names that other references must not resemble: full names, and patterns such as `refs/heads/release/*`.
#[derive(Debug, Clone, Copy)]
pub struct Reserved<'a> {
    /// The protected branches.
    pub protected: &'a [String],
    /// The release references.
    pub releases: &'a [String],
}

impl<'a> Reserved<'a> {
    fn protects(self, name: &str) -> bool {
        self.protected.iter().any(|p| matches(p, name))
    }

    fn covers(self, name: &str) -> bool {
        self.protects(name) || self.releases.iter().any(|p| matches(p, name))
    }

    /// Whether a file system that ignores case or Unicode normalisation could confuse the name with a protected branch.
    fn resembles_protected(self, name: &str) -> bool {
        !self.covers(name) && resembles(self.protected, name)
    }

    /// The same for release references.
    fn resembles_release(self, name: &str) -> bool {
        !self.covers(name) && resembles(self.releases, name)
    }

    /// Returns the names without a `*`.
    fn literal(list: &'a [String]) -> impl Iterator<Item = &'a str> {
        list.iter().map(String::as_str).filter(|p| !p.contains('*'))
    }

    /// Returns a reserved name that conflicts with a new reference, as its folder or below it. For a pattern, its
    /// folder counts.
    fn in_the_way(self, folded: &str) -> Option<&'a str> {
        let all = self.protected.iter().chain(self.releases).map(String::as_str);
        let clash = |name: &&str| match name.split_once('*') {
            Some((start, _)) => start.rsplit_once('/').is_some_and(|(folder, _)| is_in(&fold(folder), folded)),
            None => fold(name) != folded && (is_in(&fold(name), folded) || is_in(folded, &fold(name))),
        };
        all.into_iter().find(clash)
    }
}

fn resembles(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|p| matches(&fold(p), &fold(name)))
}

/// Judges the references of a push: their number and names, and that protected references point to commits and are not
/// deleted.
///
/// Whether a protected branch only moves forward is checked elsewhere, with the history.
///
/// # Errors
/// [`GitError`] if a reference or an object cannot be read.
pub fn judge(
    repo: &Repo,
    updates: &[Update],
    reserved: Reserved<'_>,
    limits: GateLimits,
) -> Result<Vec<Fault>, GitError> {
    // Only a new name can be too similar to another.
    let creates = updates.iter().any(|u| u.old.is_none());
    let existing = if creates { repo.reference_names()? } else { Vec::new() };
    let mut faults = names(updates, reserved, &existing, limits);
    for update in updates.iter().filter(|u| reserved.protects(&u.name)) {
        let Some(new) = &update.new else { continue };
        let say = match repo.header(new)? {
            Some(header) if header.kind == ObjectKind::Commit => continue,
            Some(header) => format!("it would point to a {}, not to a commit", header.kind.as_str()),
            None => format!("it would point to the object {}, which is missing", new.short()),
        };
        faults.push(fault(update, "ref-kind", say, "push a commit to it"));
    }
    Ok(faults)
}

/// Judges the names alone. `existing` are the full names of the existing references.
pub fn names(updates: &[Update], reserved: Reserved<'_>, existing: &[String], limits: GateLimits) -> Vec<Fault> {
    if updates.len() > limits.refs {
        let say = format!("the push moves {} references; at most {} are allowed", updates.len(), limits.refs);
        let problem = Problem::of_file("", "limit", say).help("push in parts, without --all or --mirror");
        return vec![Fault { problem, class: RuleClass::Format }];
    }
    let others = OtherRefs::new(updates, reserved, existing);
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for update in updates {
        if !seen.insert(&update.name) {
            faults.push(fault(update, "ref-twice", "the push updates it twice", "update it once"));
        }
        faults.extend(one(update, reserved, &others));
    }
    faults
}

fn one(update: &Update, reserved: Reserved<'_>, others: &OtherRefs<'_>) -> Option<Fault> {
    let name = update.name.as_str();
    let named = |say: String, help: &str| Some(fault(update, "ref-name", say, help));
    if let Some(own) = OWN.iter().find(|own| is_in(&fold(name), own)) {
        let say = format!("it may not be pushed: only the server writes references in {own}/");
        return Some(fault(update, "ref-own", say, "leave it out of the push"));
    }
    if reserved.protects(name) && update.new.is_none() {
        let say = "a protected branch may not be deleted";
        return Some(fault(update, "ref-delete", say, "protect another branch first"));
    }
    if reserved.resembles_protected(name) {
        let say = "its name differs from a protected branch only by case or Unicode normalisation".to_owned();
        return named(say, "give the branch a different name");
    }
    // An existing reference may be deleted.
    update.new.as_ref()?;
    if reserved.resembles_release(name) {
        let say = "its name differs from a release reference only by case or Unicode normalisation".to_owned();
        return named(say, "give it a different name");
    }
    if let Some(why) = odd(name) {
        return named(format!("it {why}"), "give it a simpler name");
    }
    if let Some(what) = ambiguous(name, reserved, others) {
        let short = quoted(short(name).unwrap_or(name));
        let say = format!("it has the same short name as a {what}, so {short} would be ambiguous");
        return named(say, "give it a different name");
    }
    let other = others.clash(name, update.old.is_none()).or_else(|| {
        let is_new = update.old.is_none() && !reserved.covers(name);
        is_new.then(|| reserved.in_the_way(&fold(name))).flatten()
    })?;
    let say = format!("it and {} cannot exist together on every system", quoted(other));
    if reserved.covers(name) && !reserved.covers(other) {
        let help = format!("delete the other reference first: `git push REMOTE --delete {other}`");
        return named(say, &help);
    }
    named(say, "give it a name that differs by more than case, and that is not a folder of the other name")
}

/// Returns a name without `refs/` and the folder after it.
fn short(name: &str) -> Option<&str> {
    name.strip_prefix("refs/").and_then(|n| n.split_once('/')).map(|(_, short)| short)
}

/// The usual names of remotes.
const REMOTES: &[&str] = &["origin", "upstream"];

/// Returns the kind of a reserved reference that git, or a person, could take this name for: git looks for `X` as
/// `refs/X`, then as a tag, a branch and a remote-tracking branch (gitrevisions(7)).
fn ambiguous(name: &str, reserved: Reserved<'_>, others: &OtherRefs<'_>) -> Option<&'static str> {
    let whole = name.strip_prefix("refs/")?;
    let own = short(name).unwrap_or(whole);
    for branch in [own, whole].map(|short| format!("refs/heads/{short}")) {
        if branch != name && (reserved.protects(&branch) || reserved.resembles_protected(&branch)) {
            return Some("protected branch");
        }
    }
    if reserved.covers(name) {
        return None;
    }
    let of_remote = own.split_once('/').filter(|(remote, _)| REMOTES.contains(&fold(remote).as_str()));
    if of_remote.is_some_and(|(_, branch)| reserved.covers(&format!("refs/heads/{branch}"))) {
        return Some("remote-tracking branch of a reserved branch");
    }
    // A pattern of tags such as `v*` says nothing about branches, but an existing tag that it covers does.
    let same = |release: &str| {
        let is_same = |other: &str| fold(other) == fold(own) || fold(other) == fold(whole);
        release != name && short(release).is_some_and(is_same)
    };
    let there = [own, whole].into_iter().flat_map(|short| {
        ["refs/tags", "refs/heads"].into_iter().flat_map(move |folder| others.named(&format!("{folder}/{short}")))
    });
    let is_release = Reserved::literal(reserved.releases).any(same)
        || there.into_iter().any(|other| other != name && reserved.covers(other));
    is_release.then_some("release reference")
}

/// Returns what is odd about a name. Names that git itself refuses are not checked.
fn odd(name: &str) -> Option<&'static str> {
    let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name);
    let is_head = |part: &str| {
        let part = part.to_ascii_uppercase();
        part.strip_suffix("HEAD").is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    };
    if name.len() > MAX_NAME {
        Some("has a name of more than 240 bytes")
    } else if !name.chars().all(is_plain) || !unicode_normalization::is_nfc(name) {
        Some("has an invisible character in its name, or one that is not in Unicode's composed form (NFC)")
    } else if name.split('/').any(|part| part.starts_with('-')) {
        Some("has a name that looks like a command-line option")
    } else if is_head(short) {
        Some("has a name with a special meaning in git")
    } else if ["refs/", "heads/", "tags/", "remotes/"].iter().any(|p| fold(short).starts_with(p)) && short != name {
        Some("has a name that git reads as the full name of another reference")
    } else if matches!(short.len(), 40 | 64) && short.bytes().all(|b| b.is_ascii_hexdigit()) {
        Some("has a name that looks like the id of a commit")
    } else {
        None
    }
}

/// Whether a name is a folder's name or below it.
fn is_in(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All other references that exist or would exist, by their folded names.
struct OtherRefs<'a> {
    names: BTreeMap<String, BTreeSet<&'a str>>,
    fixed: Vec<&'a str>,
}

impl<'a> OtherRefs<'a> {
    fn new(updates: &'a [Update], reserved: Reserved<'a>, existing: &'a [String]) -> Self {
        let mut names: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        let goes = |name: &str| updates.iter().any(|u| u.name == name && u.new.is_none());
        let pushed = updates.iter().filter(|u| u.new.is_some()).map(|u| u.name.as_str());
        let kept = existing.iter().map(String::as_str).filter(|name| !goes(name));
        for name in pushed.chain(kept) {
            names.entry(fold(name)).or_default().insert(name);
        }
        let fixed = Reserved::literal(reserved.protected).chain(OWN.iter().copied()).collect();
        Self { names, fixed }
    }

    /// Returns the references with a name, whatever its case.
    fn named(&self, name: &str) -> Vec<&'a str> {
        self.names.get(&fold(name)).into_iter().flatten().copied().collect()
    }

    /// Returns another reference that conflicts with a new name: the two differ only by case, or one is the other's
    /// folder.
    fn clash(&self, name: &str, is_new: bool) -> Option<&'a str> {
        let folded = fold(name);
        let fixed = self.fixed.iter().find(|f| **f != name && (is_in(&folded, &fold(f)) || is_in(&fold(f), &folded)));
        if fixed.is_some() || !is_new {
            return fixed.copied();
        }
        let same = self.names.get(&folded).into_iter().flatten().find(|n| **n != name);
        let folders = folded.match_indices('/').filter_map(|(at, _)| self.names.get(folded.get(..at)?)?.first());
        let inner = format!("{folded}/");
        let below = self.names.range(inner.clone()..).next().filter(|(n, _)| n.starts_with(&inner));
        let below = below.and_then(|(_, names)| names.first());
        same.or_else(|| folders.into_iter().next()).or(below).copied()
    }
}

fn fault(update: &Update, rule: &'static str, say: impl Into<String>, help: &str) -> Fault {
    Fault { problem: Problem::of_file(update.name.clone(), rule, say).help(help), class: RuleClass::History }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Oid;

    const A: &str = "1111111111111111111111111111111111111111";

    fn update(name: &str) -> Update {
        Update { old: Oid::from_hex(A), new: Oid::from_hex(A), name: name.to_owned() }
    }

    fn create(name: &str) -> Update {
        Update { old: None, ..update(name) }
    }

    fn delete(name: &str) -> Update {
        Update { new: None, ..update(name) }
    }

    fn judged(updates: &[Update]) -> Vec<String> {
        let protected = ["refs/heads/main".to_owned(), "refs/heads/release/*".to_owned()];
        let existing = [
            "refs/heads/main",
            "refs/heads/topic",
            "refs/heads/release/1",
            "refs/tags/v1",
            "refs/heads/Odd",
            "refs/heads/Live",
        ];
        let existing = existing.map(str::to_owned);
        let releases = ["refs/tags/v*".to_owned(), "refs/heads/prod".to_owned(), "refs/heads/live/*".to_owned()];
        let reserved = Reserved { protected: &protected, releases: &releases };
        let faults = names(updates, reserved, &existing, GateLimits::default());
        faults.into_iter().map(|f| f.problem.message).collect()
    }

    #[track_caller]
    fn refused(update: Update, words: &str) {
        let found = judged(std::slice::from_ref(&update));
        assert!(matches!(found.as_slice(), [say] if say.contains(words)), "{update:?}: {found:?}");
    }

    #[test]
    fn work_branches_and_tags_are_free() {
        let free = [
            update("refs/heads/main"),
            update("refs/heads/topic"),
            delete("refs/heads/done"),
            create("refs/heads/ada/new-model"),
            create("refs/heads/größe"),
            create("refs/heads/release/2"),
            create("refs/heads/ahead"),
            create("refs/tags/v2"),
            create("refs/notes/commits"),
            create("refs/for/main-review"),
            update("refs/heads/Odd"),
        ];
        assert_eq!(judged(&free), Vec::<String>::new());
    }

    #[test]
    fn protected_branches_are_not_deleted() {
        refused(delete("refs/heads/main"), "may not be deleted");
        refused(delete("refs/heads/release/1"), "may not be deleted");
    }

    #[test]
    fn deleting_and_making_anew_in_one_push_is_refused() {
        let found = judged(&[delete("refs/heads/main"), create("refs/heads/main")]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_is_the_gates_own_is_not_pushed() {
        for name in [
            "refs/replace/1111111111111111111111111111111111111111",
            "refs/Replace/x",
            "refs/replace",
            "refs/notes/greenroom/pushes",
            "refs/notes/GREENROOM/pushes",
            "refs/notes/greenroom",
            "refs/tags/greenroom/x",
            "refs/tags/greenroom",
            "refs/greenroom/lock",
            "refs/internal/x",
            "refs/\u{ff52}eplace/x",
        ] {
            refused(create(name), "may not be pushed");
            refused(delete(name), "may not be pushed");
        }
    }

    #[test]
    fn names_like_a_protected_one_are_refused() {
        for name in
            ["refs/heads/Main", "refs/heads/MAIN", "refs/Heads/main", "refs/heads/Release/1", "refs/heads/m\u{ff41}in"]
        {
            refused(create(name), "only by case or Unicode normalisation");
            refused(delete(name), "only by case or Unicode normalisation");
        }
        refused(create("refs/heads/main/x"), "cannot exist together");
        refused(create("refs/heads/Main/x"), "cannot exist together");
        refused(create("refs/heads"), "cannot exist together");
        refused(create("refs/notes"), "cannot exist together");
        for name in ["refs/tags/main", "refs/tags/Main", "refs/remotes/main", "refs/tags/release/1"] {
            refused(create(name), "would be ambiguous");
        }
    }

    #[test]
    fn names_like_a_release_reference_are_refused_to_whoever_takes_them() {
        for name in ["refs/heads/Prod", "refs/tags/V2", "refs/heads/LIVE/1", "refs/heads/pro\u{ff44}"] {
            refused(create(name), "differs from a release reference");
            assert_eq!(judged(&[delete(name)]), Vec::<String>::new(), "what is there may go");
        }
        refused(create("refs/heads/prod/x"), "cannot exist together");
        refused(create("refs/tags/prod"), "the same short name as a release reference");
        refused(create("refs/prod"), "the same short name as a release reference");
        // `v1` is there and released; `v2` is not there yet.
        refused(create("refs/heads/v1"), "the same short name as a release reference");
        assert_eq!(judged(&[create("refs/heads/v2")]), Vec::<String>::new());
        for name in ["refs/tags/origin/main", "refs/heads/Origin/release/1", "refs/tags/upstream/prod"] {
            refused(create(name), "remote-tracking branch of a reserved branch");
        }
        refused(create("refs/release/new"), "the same short name as a protected branch");
        assert_eq!(judged(&[create("refs/heads/prod"), create("refs/tags/v2")]), Vec::<String>::new());
        assert_eq!(judged(&[create("refs/heads/vera/topic")]), Vec::<String>::new());
        // A name from before this rule existed can be deleted by a person who needs the name.
        refused(create("refs/heads/live/1"), "cannot exist together");
        assert_eq!(judged(&[delete("refs/heads/Live"), create("refs/heads/live/1")]), Vec::<String>::new());
    }

    #[test]
    fn new_names_do_not_differ_from_others_by_case_alone() {
        refused(create("refs/heads/Topic"), "cannot exist together");
        refused(create("refs/heads/TOPIC/x"), "cannot exist together");
        refused(create("refs/heads/odd"), "cannot exist together");
        refused(create("refs/tags/V1"), "differs from a release reference");
        let found = judged(&[create("refs/heads/new"), create("refs/heads/NEW")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(judged(&[create("refs/heads/deep/a"), create("refs/heads/DEEP")]).len(), 2);
        assert_eq!(judged(&[delete("refs/heads/topic"), create("refs/heads/Topic")]), Vec::<String>::new());
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for (name, words) in [
            ("refs/heads/HEAD", "a special meaning in git"),
            ("refs/heads/head", "a special meaning in git"),
            ("refs/tags/FETCH_HEAD", "a special meaning in git"),
            ("refs/heads/-rf", "a command-line option"),
            ("refs/heads/x/--upload-pack", "a command-line option"),
            ("refs/heads/refs/heads/main", "full name"),
            ("refs/heads/heads/main", "full name"),
            (&format!("refs/heads/{A}"), "id of a commit"),
            ("refs/heads/a\u{200b}b", "invisible"),
            ("refs/heads/a\u{202e}b", "invisible"),
            ("refs/heads/e\u{301}", "NFC"),
            (&format!("refs/heads/{}", "x".repeat(300)), "240 bytes"),
        ] {
            refused(create(name), words);
        }
    }

    #[test]
    fn references_are_few_and_each_moves_once() {
        let many: Vec<Update> = (0..51).map(|i| create(&format!("refs/heads/b{i}"))).collect();
        let found = judged(&many);
        assert!(matches!(found.as_slice(), [say] if say.contains("51 references")), "{found:?}");
        let found = judged(&[update("refs/heads/topic"), update("refs/heads/topic")]);
        assert!(matches!(found.as_slice(), [say] if say.contains("twice")), "{found:?}");
    }
}
