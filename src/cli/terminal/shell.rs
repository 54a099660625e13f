//! Quotes words, so that a command that is shown can be pasted.

/// Quotes a name for a shell.
pub(in crate::cli) fn shell(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-@+".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_command_that_is_shown_can_be_pasted() {
        assert_eq!(super::shell("churn-v2"), "churn-v2");
        assert_eq!(super::shell("wine quality's"), r"'wine quality'\''s'");
    }
}
