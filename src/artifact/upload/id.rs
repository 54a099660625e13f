//! The ids of uploads.

use crate::text::quoted;

/// The id of an upload, chosen by the client: 32 to 64 hexadecimal digits, with up to 8 dashes as in a UUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadId(String);

impl UploadId {
    /// Parses an id and converts it to lower case. Returns `None` if it is invalid.
    pub fn new(id: &str) -> Option<Self> {
        let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
        let dashes = id.bytes().filter(|b| *b == b'-').count();
        let good = (32..=64).contains(&digits) && dashes <= 8 && digits + dashes == id.len() && !id.starts_with('-');
        good.then(|| Self(id.to_ascii_lowercase()))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the message for an invalid id.
pub fn no_id(given: &str) -> String {
    format!("{} is not an upload id: give 32 to 64 hexadecimal digits, such as a UUID", quoted(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_long() {
        let good = ["0123456789abcdef0123456789abcdef", "01234567-89AB-cdef-0123-456789abcdef", &"f".repeat(64)];
        for id in good {
            assert_eq!(UploadId::new(id).map(|id| id.as_str().to_owned()), Some(id.to_ascii_lowercase()));
        }
        let dashes = format!("{}{}", "0".repeat(32), "-".repeat(9));
        for bad in
            ["", "..", &"0".repeat(31), &"0".repeat(65), &"g".repeat(32), &dashes, &format!("-{}", "0".repeat(32))]
        {
            assert_eq!(UploadId::new(bad), None, "{bad}");
        }
    }
}
