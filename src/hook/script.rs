//! The texts of the hooks: small programs for `sh` that start greenroom, and refuse where they cannot.

use crate::gate::Host;

/// The hooks that are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before anything of a push is accepted: the judgement.
    PreReceive,
    /// After a push was accepted: the record.
    PostReceive,
}

/// The second line of a hook that starts greenroom.
const STARTER: &str = "# greenroom: this hook starts the gate.";

/// The second line of a hook that runs those of a folder.
const DISPATCHER: &str = "# greenroom: this hook runs those in the folder beside it.";

impl Hook {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::PreReceive, Self::PostReceive];

    /// The name of the hook's file, and of greenroom's command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreReceive => "pre-receive",
            Self::PostReceive => "post-receive",
        }
    }

    /// The hook that starts the program at this path. The settings are given where the repository's own are out of
    /// reach.
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
             \x20   echo \"greenroom: the gate of this registry cannot run: $greenroom is not there.\" >&2\n\
             \x20   echo \"greenroom: nothing is accepted until whoever runs the server has put it back.\" >&2\n\
             \x20   exit 1\n\
             }}\n\
             exec \"$greenroom\" hook {name}{flags}\n",
            program = quote(greenroom),
        )
    }

    /// The hook that gives what it reads to each hook in the folder `<name>.d` beside it, in order of their names, and
    /// stops at the first that refuses. Without greenroom there it refuses.
    pub fn dispatcher(self) -> String {
        format!(
            "#!/bin/sh\n\
             {DISPATCHER}\n\
             # `greenroom hook install` wrote it and `greenroom hook uninstall` removes it. Changes are lost.\n\
             [ -x \"$0.d/{OWN}\" ] || {{\n\
             \x20   echo \"greenroom: the gate of this registry cannot run: $0.d/{OWN} is not there.\" >&2\n\
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

/// What a hook's file is, by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It starts greenroom.
    Starter,
    /// It is ours and runs the hooks of the folder beside it.
    Dispatcher,
    /// It is another's, and names a folder such as `pre-receive.d/` of which it seems to run the hooks.
    OthersDispatcher,
    /// It is another's.
    Other,
}

impl Kind {
    /// What a hook's text says it is.
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

/// Whether a line, which is no comment, names a folder such as `pre-receive.d`, quoted or not.
pub(super) fn names_folder(line: &str) -> bool {
    !line.trim_start().starts_with('#') && [".d/", ".d\"/", ".d'/"].iter().any(|end| line.contains(end))
}

/// A word for `sh` that means exactly this text.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_known_by_its_second_line() {
        assert_eq!(Kind::of(Hook::PreReceive.starter("/usr/bin/greenroom", None).as_bytes()), Kind::Starter);
        assert_eq!(Kind::of(Hook::PostReceive.dispatcher().as_bytes()), Kind::Dispatcher);
        let gitea = "#!/bin/bash\nfor hook in ${GIT_DIR}/hooks/${hookname}.d/*; do\n  ${hook}\ndone\n";
        assert_eq!(Kind::of(gitea.as_bytes()), Kind::OthersDispatcher);
        assert_eq!(Kind::of(b"#!/bin/sh\n# see pre-receive.d/x\nexit 0\n"), Kind::Other);
        assert_eq!(Kind::of(b"\x7fELF\0\xff"), Kind::Other);
    }

    #[test]
    fn a_path_is_one_word_whatever_it_holds() {
        assert_eq!(quote("/opt/it's here/green room"), r"'/opt/it'\''s here/green room'");
        let text = Hook::PreReceive.starter("/opt/$HOME/`x`", Some((Host::GitLab, &["release/*".to_owned()])));
        assert!(text.contains("greenroom='/opt/$HOME/`x`'\n"), "{text}");
        assert!(text.ends_with("exec \"$greenroom\" hook pre-receive --host gitlab --protect 'release/*'\n"), "{text}");
    }
}
