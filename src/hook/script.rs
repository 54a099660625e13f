//! The texts of the hooks: small `sh` scripts that start greenroom, and refuse the push if they cannot.

use crate::gate::Host;

/// The hooks that are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Runs before any part of a push is accepted: judges the push.
    PreReceive,
    /// Runs after a push was accepted: records the push.
    PostReceive,
}

/// The second line of a hook that starts greenroom.
const STARTER: &str = "# greenroom: this hook starts the gate.";

/// The second line of a hook that runs the hooks of a folder.
const DISPATCHER: &str = "# greenroom: this hook runs those in the folder beside it.";

impl Hook {
    /// All hooks.
    pub const ALL: [Self; 2] = [Self::PreReceive, Self::PostReceive];

    /// Returns the name of the hook's file, which is also the name of greenroom's command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreReceive => "pre-receive",
            Self::PostReceive => "post-receive",
        }
    }

    /// Returns the text of the hook that starts the program at this path. `given` holds the settings if the hook cannot
    /// read the repository's own settings.
    pub fn starter(self, greenroom: &str, given: Option<(Host, &[String])>) -> String {
        let name = self.name();
        let mut flags = String::new();
        if let Some((host, protected)) = given {
            flags.push_str(&format!(" --host {host}"));
            for pattern in protected {
                flags.push_str(&format!(" --protect {}", quote(pattern)));
            }
        }
        format!(
            "#!/bin/sh\n\
             {STARTER}\n\
             # `greenroom hook install` wrote it and `greenroom hook uninstall` removes it. Changes are lost.\n\
             greenroom={program}\n\
             [ -x \"$greenroom\" ] || {{\n\
             \x20   echo \"greenroom: the gate of this registry cannot run: $greenroom does not exist.\" >&2\n\
             \x20   echo \"greenroom: no push is accepted until the administrator of the server restores it.\" >&2\n\
             \x20   exit 1\n\
             }}\n\
             exec \"$greenroom\" hook {name}{flags}\n",
            program = quote(greenroom),
        )
    }

    /// Returns the text of the hook that passes its input to each hook in the folder `<name>.d` beside it, in order of
    /// their names. It stops at the first hook that refuses. It refuses the push if greenroom's hook is missing there.
    pub fn dispatcher(self) -> String {
        format!(
            "#!/bin/sh\n\
             {DISPATCHER}\n\
             # `greenroom hook install` wrote it and `greenroom hook uninstall` removes it. Changes are lost.\n\
             [ -x \"$0.d/{OWN}\" ] || {{\n\
             \x20   echo \"greenroom: the gate of this registry cannot run: $0.d/{OWN} does not exist.\" >&2\n\
             \x20   exit 1\n\
             }}\n\
             input=$(cat)\n\
             for hook in \"$0.d\"/*; do\n\
             \x20   [ -f \"$hook\" ] && [ -x \"$hook\" ] || continue\n\
             \x20   printf '%s\\n' \"$input\" | \"$hook\" \"$@\" || exit $?\n\
             done\n"
        )
    }
}

/// The name of greenroom's hook in a folder of hooks.
pub const OWN: &str = "greenroom";

/// The kind of a hook's file, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptKind {
    /// The hook starts greenroom.
    Starter,
    /// The hook belongs to greenroom and runs the hooks of the folder beside it.
    Dispatcher,
    /// A foreign hook that names a folder such as `pre-receive.d/` and seems to run its hooks.
    OthersDispatcher,
    /// Another foreign hook.
    Other,
}

impl ScriptKind {
    /// Returns the kind of a hook by its text.
    pub fn of(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        match text.lines().nth(1) {
            Some(STARTER) => Self::Starter,
            Some(DISPATCHER) => Self::Dispatcher,
            Some(_) | None if text.lines().any(names_folder) => Self::OthersDispatcher,
            Some(_) | None => Self::Other,
        }
    }
}

/// Returns whether a line, other than a comment, names a folder such as `pre-receive.d`, quoted or not.
pub(super) fn names_folder(line: &str) -> bool {
    !line.trim_start().starts_with('#') && [".d/", ".d\"/", ".d'/"].iter().any(|end| line.contains(end))
}

/// Quotes a text as one word for `sh`.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_known_by_its_second_line() {
        assert_eq!(
            ScriptKind::of(Hook::PreReceive.starter("/usr/bin/greenroom", None).as_bytes()),
            ScriptKind::Starter
        );
        assert_eq!(ScriptKind::of(Hook::PostReceive.dispatcher().as_bytes()), ScriptKind::Dispatcher);
        let gitea = "#!/bin/bash\nfor hook in ${GIT_DIR}/hooks/${hookname}.d/*; do\n  ${hook}\ndone\n";
        assert_eq!(ScriptKind::of(gitea.as_bytes()), ScriptKind::OthersDispatcher);
        assert_eq!(ScriptKind::of(b"#!/bin/sh\n# see pre-receive.d/x\nexit 0\n"), ScriptKind::Other);
        assert_eq!(ScriptKind::of(b"\x7fELF\0\xff"), ScriptKind::Other);
    }

    #[test]
    fn a_path_is_one_word_whatever_it_holds() {
        assert_eq!(quote("/opt/it's here/green room"), r"'/opt/it'\''s here/green room'");
        let text = Hook::PreReceive.starter("/opt/$HOME/`x`", Some((Host::GitLab, &["release/*".to_owned()])));
        assert!(text.contains("greenroom='/opt/$HOME/`x`'\n"), "{text}");
        assert!(text.ends_with("exec \"$greenroom\" hook pre-receive --host gitlab --protect 'release/*'\n"), "{text}");
    }
}
