//! CODEOWNERS from the grants: the reviewers that a git host asks for, and may require, before it merges a pull
//! request.
//!
//! The file repeats `access.toml` and the stage rules in the host's own words, so that a pull request shows the right
//! reviewers. The gate does not read it. Greenroom writes one section between two marker lines; the rest of the file
//! stays.

use std::collections::BTreeSet;

use crate::entity::{Access, PermissionLevel};
use crate::format::Problem;
use crate::name::{GroupName, Principal, UserName};
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::tree::{Objects, Oid, TreeError};

/// The largest CODEOWNERS file that a host reads, in bytes.
const MAX_FILE: u64 = 3 << 20;

/// The beginning of the line before the section; the name of the host follows.
const START: &str = "# >>> greenroom codeowners --host ";

/// The line after the section.
const END: &str = "# <<< greenroom codeowners";

/// A kind of git host. Each has its own grammar of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// GitHub: patterns as in `.gitignore`; the last line that matches counts.
    Github,
    /// GitLab: the same patterns, in sections; each section counts by itself.
    Gitlab,
    /// Gitea and Forgejo: regular expressions; every line that matches counts.
    Gitea,
}

impl Host {
    /// All kinds of hosts.
    pub const ALL: [Self; 3] = [Self::Github, Self::Gitlab, Self::Gitea];

    /// Returns the name of the host on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
        }
    }

    /// Returns where the host looks for the file, in its order: the first file that exists counts.
    pub const fn places(self) -> [&'static str; 3] {
        match self {
            Self::Github => [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"],
            Self::Gitlab => ["CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"],
            Self::Gitea => ["CODEOWNERS", "docs/CODEOWNERS", ".gitea/CODEOWNERS"],
        }
    }

    /// Returns the path at which a new file is written.
    pub const fn home(self) -> &'static str {
        match self {
            Self::Github => ".github/CODEOWNERS",
            Self::Gitlab => ".gitlab/CODEOWNERS",
            Self::Gitea => ".gitea/CODEOWNERS",
        }
    }

    /// Returns the other paths that decide about merges: the CI jobs that check them. A folder ends in a slash.
    const fn jobs(self) -> &'static [&'static str] {
        match self {
            Self::Github => &[".github/"],
            Self::Gitlab => &[".gitlab-ci.yml", ".gitlab/"],
            Self::Gitea => &[".gitea/", ".forgejo/"],
        }
    }

    /// Returns a path of the repository as a pattern of the host. In `path`, a `*` stands for one name, and a slash at
    /// the end for everything in the folder. A character that would need escaping becomes "any character".
    fn pattern(self, path: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_-%~".contains(c);
        match self {
            Self::Github | Self::Gitlab => {
                let one = |c: char| if plain(c) || matches!(c, '.' | '*') { c } else { '?' };
                format!("/{}", path.chars().map(one).collect::<String>())
            }
            Self::Gitea => {
                let one = |c: char| match c {
                    '*' => "[^/]+".to_owned(),
                    '.' => "[.]".to_owned(),
                    c if plain(c) => c.to_string(),
                    _ => ".".to_owned(),
                };
                let all: String = path.chars().map(one).collect();
                if path.ends_with('/') { format!("{all}.*") } else { all }
            }
        }
    }
}

/// Returns whether a host reads a CODEOWNERS file at this path.
pub fn is_place(path: &str) -> bool {
    Host::ALL.iter().any(|h| h.places().contains(&path))
}

/// Returns the CODEOWNERS files of a root tree as path and text, for all paths at which a host looks.
///
/// # Errors
/// The errors of [`Objects`], if a tree or file cannot be read. A file that is too large for a host is left out.
pub fn files_in(objects: &dyn Objects, root: Option<Oid>) -> Result<Vec<(String, String)>, TreeError> {
    let whole = Snapshot::new(objects, root, "")?;
    let mut out = Vec::new();
    let places: BTreeSet<&str> = Host::ALL.iter().flat_map(|h| h.places()).collect();
    for place in places {
        let Some(entry) = whole.entry(place)?.filter(|e| e.kind.is_file()) else { continue };
        match objects.blob(&entry.id, MAX_FILE) {
            Ok(bytes) => out.push((place.to_owned(), String::from_utf8_lossy(&bytes).into_owned())),
            // A host ignores a file above its limit, so there is nothing to keep current.
            Err(TreeError::TooLarge { .. }) => {}
            Err(
                e @ (TreeError::Missing(_) | TreeError::Damaged { .. } | TreeError::Vast { .. } | TreeError::Io { .. }),
            ) => return Err(e),
        }
    }
    Ok(out)
}

/// Returns the host that the section in a file was made for; `None` if there is no section.
pub fn host_of(text: &str) -> Option<Host> {
    let named = text.lines().find_map(|l| l.strip_prefix(START))?;
    Host::ALL.into_iter().find(|h| h.as_str() == named.trim_end())
}

/// Returns the text with its section replaced. A new section goes to the end, because the last matching line counts.
pub fn renew(text: &str, section: &str) -> String {
    let start = text.lines().position(|l| l.starts_with(START));
    let end = text.lines().position(|l| l.trim_end() == END);
    let lines = |from: usize, to: usize| text.lines().skip(from).take(to - from).map(|l| format!("{l}\n"));
    match (start, end) {
        (Some(start), Some(end)) if start < end => {
            let before: String = lines(0, start).collect();
            let after: String = lines(end + 1, text.lines().count()).collect();
            format!("{before}{section}{after}")
        }
        _ if text.trim().is_empty() => section.to_owned(),
        _ => format!("{}\n\n{section}", text.trim_end()),
    }
}

/// Returns a warning for each file whose section does not match the grants of the registry.
///
/// # Errors
/// The errors of [`section`].
pub fn stale(files: &[(String, String)], state: &Snapshot<'_>) -> Result<Vec<Problem>, TreeError> {
    let mut out = Vec::new();
    for (path, text) in files {
        let Some(host) = host_of(text) else { continue };
        if renew(text, &section(host, state)?) != *text {
            let message = "the owners do not match the current grants and stage rules";
            let help = format!(
                "run `greenroom codeowners --host {} --write` to update the file, and commit the result",
                host.as_str()
            );
            out.push(Problem::of_file(path, "codeowners", message).help(help));
        }
    }
    Ok(out)
}

/// Returns the section for a host with both marker lines. The same grants always give the same text.
///
/// # Errors
/// The errors of [`Objects`], if settings, grants, people or models cannot be read.
pub fn section(host: Host, state: &Snapshot<'_>) -> Result<String, TreeError> {
    let owners = Owners { host, state };
    let mut out = format!("{START}{}\n", host.as_str());
    out.push_str("# Made from the grants and stage rules by `greenroom codeowners --write`: change those instead.\n");
    if host == Host::Gitlab {
        out.push_str("[greenroom]\n");
    }
    let mut put = |path: &str, names: &[String]| {
        if names.is_empty() {
            out.push_str(&format!("# nobody owns {}\n", host.pattern(path)));
        } else {
            out.push_str(&format!("{} {}\n", host.pattern(path), names.join(" ")));
        }
    };
    let managers = owners.with_level(PermissionLevel::CanManage, None)?;
    for path in [".mailmap", ".gitattributes"].iter().chain(host.jobs()).chain(&["CODEOWNERS", "docs/CODEOWNERS"]) {
        put(path, &managers);
    }
    for path in ["greenroom.toml", "access.toml", "people/", "webhooks/"] {
        put(&state.full_path(path), &managers);
    }
    let any = match state.layout()? {
        crate::entity::settings::Layout::Flat => "models/*",
        crate::entity::settings::Layout::Sharded => "models/*/*",
    };
    let general = owners.lines(None)?;
    for (path, names) in &general {
        put(&state.full_path(&format!("{any}/{path}")), names);
    }
    for model in state.models()? {
        let Some(access) = model.access()?.and_then(|f| f.value).filter(|a| !a.grants.is_empty()) else { continue };
        for (path, names) in owners.lines(Some(&access))?.iter().filter(|line| !general.contains(line)) {
            put(&format!("{}/{path}", model.path), names);
        }
    }
    out.push_str(END);
    out.push('\n');
    Ok(out)
}

/// The owners of paths, in the names of a host.
struct Owners<'s> {
    host: Host,
    state: &'s Snapshot<'s>,
}

impl Owners<'_> {
    /// Returns the protected files of a model, each with its owners: by the grants of the registry and those of the
    /// model.
    fn lines(&self, own: Option<&Access>) -> Result<Vec<(String, Vec<String>)>, TreeError> {
        let mut out = vec![
            ("access.toml".to_owned(), self.with_level(PermissionLevel::CanManage, own)?),
            ("aliases/".to_owned(), self.with_level(PermissionLevel::CanEdit, own)?),
            ("stages/".to_owned(), self.with_level(PermissionLevel::CanManageStagingVersions, own)?),
        ];
        let settings = self.state.settings()?;
        let ruled = settings.iter().flat_map(|s| s.stages.keys().cloned());
        let stages: BTreeSet<Stage> = ruled.chain([Stage::Production]).filter(|s| *s != Stage::None).collect();
        for stage in stages {
            let rule = settings.and_then(|s| s.rule(&stage));
            let names = match rule.and_then(|r| r.approvers.as_ref()) {
                Some(approvers) => self.names(approvers.iter())?,
                None => self.with_level(settings.map_or(PermissionLevel::CanManage, |s| s.level_for(&stage)), own)?,
            };
            // A stage without owners would need no review at all.
            let names = if names.is_empty() { self.with_level(PermissionLevel::CanManage, own)? } else { names };
            out.push((format!("stages/{stage}.toml"), names));
        }
        for (alias, rule) in settings.iter().flat_map(|s| &s.aliases) {
            let names = match (&rule.approvers, rule.needed_level()) {
                (Some(approvers), _) => self.names(approvers.iter())?,
                (None, level) => self.with_level(level.unwrap_or(PermissionLevel::CanManage), own)?,
            };
            let names = if names.is_empty() { self.with_level(PermissionLevel::CanManage, own)? } else { names };
            out.push((format!("aliases/{}", crate::format::path::alias_file(alias)), names));
        }
        Ok(out)
    }

    fn with_level(&self, level: PermissionLevel, own: Option<&Access>) -> Result<Vec<String>, TreeError> {
        let wide = self.state.access()?;
        let grants = wide.grants.iter().chain(own.iter().flat_map(|a| &a.grants));
        self.names(grants.filter(|g| g.level >= level).map(|g| &g.to))
    }

    /// Returns the people behind principals by their names at the host, sorted.
    fn names<'p>(&self, principals: impl Iterator<Item = &'p Principal>) -> Result<Vec<String>, TreeError> {
        let mut users: BTreeSet<UserName> = BTreeSet::new();
        let groups = &self.state.access()?.groups;
        for principal in principals {
            match principal {
                Principal::User(user) => drop(users.insert(user.clone())),
                Principal::Group(group) => match groups.get(group) {
                    Some(members) => users.extend(members.iter().cloned()),
                    None if *group == GroupName::everyone() => users.extend(self.state.people()?.keys().cloned()),
                    None => {}
                },
            }
        }
        let mut names = BTreeSet::new();
        for user in users {
            names.extend(self.name(&user)?);
        }
        Ok(names.into_iter().collect())
    }

    /// Returns the name of a person at the host: the login, or else the user name if it can be a login. A user name
    /// that is an e-mail address stays as it is.
    fn name(&self, user: &UserName) -> Result<Option<String>, TreeError> {
        let person = self.state.person(user)?.and_then(|f| f.value).unwrap_or_default();
        let login = person.logins.iter().map(crate::text::Text::as_str).find(|l| is_login(l));
        Ok(match login.or(Some(user.as_str()).filter(|u| is_login(u))) {
            Some(login) => Some(format!("@{login}")),
            // Gitea knows people by login alone.
            None => Some(user.to_string()).filter(|u| u.contains('@') && self.host != Host::Gitea),
        })
    }
}

/// Returns whether a host accepts a word as a login: no character in it ends the name or starts another one.
fn is_login(s: &str) -> bool {
    !s.is_empty() && s.len() <= 255 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::path::ModelDir;
    use crate::name::ModelName;
    use crate::tree::Memory;

    const SETTINGS: &str = "id = \"0198c0de-0000-7000-8000-000000000001\"\nname = \"r\"\nformat = 1\n";

    fn text(host: Host, files: &[(&str, &str)]) -> String {
        let store = Memory::default();
        let root = store.put_files(files.iter().map(|(p, t)| (*p, t.as_bytes())));
        section(host, &Snapshot::new(&store, Some(root), "").unwrap()).unwrap()
    }

    #[test]
    fn names_of_folders_hold_nothing_that_a_pattern_reads() {
        for name in ["churn", "a b", "[x]", "#1", "!no", "größe", "a*?", "\\"] {
            let dir = ModelDir::of(&ModelName::new(name).unwrap());
            assert_eq!(Host::Github.pattern(dir.as_str()), format!("/{dir}"));
            assert_eq!(Host::Gitea.pattern(dir.as_str()), dir.as_str().replace('.', "[.]"));
        }
    }

    #[test]
    fn other_characters_stand_for_any() {
        assert_eq!(Host::Github.pattern("ml models/#1/x.toml"), "/ml?models/?1/x.toml");
        assert_eq!(Host::Gitlab.pattern("[a]/"), "/?a?/");
        assert_eq!(Host::Gitea.pattern("a b/models/*/stages/"), "a.b/models/[^/]+/stages/.*");
    }

    #[test]
    fn logins_groups_approvers_and_own_grants_become_owners() {
        let settings = format!("{SETTINGS}[stages.Production]\napprovers = [\"group:risk\"]\n");
        let files = [
            ("greenroom.toml", settings.as_str()),
            (
                "access.toml",
                "grants = [\n{ to = \"alice\", level = \"CAN_MANAGE\" },\n{ to = \"eve\", level = \"CAN_READ\" },\n]\n[groups]\nrisk = [\"bob\", \"carol@x.org\"]\n",
            ),
            ("people/alice.toml", "logins = [\"al1ce\"]\n"),
            ("people/bob.toml", "logins = [\"not a @login\"]\n"),
            ("models/churn/access.toml", "grants = [{ to = \"dave\", level = \"CAN_EDIT\" }]\n"),
        ];
        let github = text(Host::Github, &files);
        for line in [
            "/greenroom.toml @al1ce",
            "/models/*/stages/Production.toml @bob carol@x.org",
            "/models/*/aliases/ @al1ce",
            "/models/churn/aliases/ @al1ce @dave",
            "/.github/ @al1ce",
        ] {
            assert!(github.lines().any(|l| l == line), "{line} is not in\n{github}");
        }
        let guarded = format!("{settings}[aliases.champion]\napprovers = [\"carol@x.org\"]\n");
        let mut files = files;
        files[0].1 = &guarded;
        let guarded = text(Host::Github, &files);
        assert!(guarded.contains("\n/models/*/aliases/champion.toml carol@x.org\n"), "{guarded}");
        files[0].1 = &settings;
        assert!(!github.contains("eve") && !github.contains("/models/churn/stages/"), "{github}");
        let gitea = text(Host::Gitea, &files);
        assert!(gitea.contains("\nmodels/[^/]+/stages/Production[.]toml @bob\n"), "{gitea}");
        assert!(text(Host::Gitlab, &files).contains("\n[greenroom]\n/.mailmap @al1ce\n"));
    }

    #[test]
    fn a_section_is_renewed_and_the_rest_stays() {
        let section = format!("{START}github\n/x @a\n{END}\n");
        assert_eq!(renew("", &section), section);
        let file = renew("* @org/all\n", &section);
        assert_eq!(file, format!("* @org/all\n\n{section}"));
        let other = section.replace("@a", "@b");
        let edited = format!("{file}/late @c\n");
        assert_eq!(renew(&edited, &other), format!("* @org/all\n\n{other}/late @c\n"));
        assert_eq!(renew(&edited, &section), edited);
        assert_eq!(host_of(&file), Some(Host::Github));
        assert_eq!(host_of("* @org/all\n"), None);
    }
}
