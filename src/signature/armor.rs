//! ASCII armor of OpenPGP (RFC 9580, section 6.2): exactly one block with nothing around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Returns the bytes in a block with this label; `None` if the text is not exactly one such block.
///
/// The checksum at the end is not verified, as the RFC demands: the content is verified by its signature.
pub(super) fn decode(text: &str, label: &str) -> Option<Vec<u8>> {
    let inner = text.trim_ascii().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let inner = inner.strip_suffix(&format!("\n-----END {label}-----"))?;
    let mut lines = inner.split('\n').map(|l| l.trim_end_matches(['\r', ' ', '\t']));
    if !lines.next()?.is_empty() {
        return None;
    }
    // Headers such as `Version: …` end at a blank line.
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        line.split_once(": ")?;
    }
    let mut data = String::with_capacity(inner.len());
    let mut checksum = false;
    for line in lines {
        if checksum || line.starts_with('=') {
            if checksum || line.len() != 5 {
                return None;
            }
            checksum = true;
        } else {
            data.push_str(line);
        }
    }
    STANDARD.decode(data).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn one_block_is_read_with_or_without_headers_and_checksum() {
        for text in [
            "-----BEGIN X-----\n\naGVsbG8h\n-----END X-----",
            "-----BEGIN X-----\r\nVersion: 1\r\n\r\naGVs\r\nbG8h\r\n=abcd\r\n-----END X-----\r\n",
        ] {
            assert_eq!(decode(text, "X").as_deref(), Some(b"hello!".as_slice()), "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "-----BEGIN X-----",
            "-----BEGIN X-----\n-----END X-----",
            "-----BEGIN X-----\n\n-----END X-----",
            "-----BEGIN X-----\naGVsbG8h\n-----END X-----",
            "-----BEGIN Y-----\n\naGVsbG8h\n-----END Y-----",
            "-----BEGIN X-----\n\naGVsbG8h\n=abcd\naGVsbG8h\n-----END X-----",
            "-----BEGIN X-----\n\naGVsbG8h\n-----END X-----\n-----BEGIN X-----\n\naGVsbG8h\n-----END X-----",
            "before\n-----BEGIN X-----\n\naGVsbG8h\n-----END X-----",
            "-----BEGIN X-----\n\naGV!bG8h\n-----END X-----",
        ] {
            assert_eq!(decode(text, "X"), None, "{text:?}");
        }
    }
}
