//! The byte range that a request asks for: `Range` and `If-Range` of RFC 9110, one range only.

use axum::http::{HeaderMap, header};

/// The requested bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// The whole file.
    Whole,
    /// A part of the file.
    Part {
        /// The position of the first byte.
        from: u64,
        /// The number of bytes, at least one.
        count: u64,
    },
    /// A range beyond the end of the file.
    Beyond,
}

/// Returns the range that is requested of a file of this size and entity tag. A header that is not a range of bytes, or
/// has several ranges, is ignored, as RFC 9110 allows.
pub fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> ByteRange {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    let Some(range) = text(header::RANGE) else { return ByteRange::Whole };
    if text(header::IF_RANGE).is_some_and(|known| known != etag) {
        return ByteRange::Whole;
    }
    parse(range, size).unwrap_or(ByteRange::Whole)
}

fn parse(range: &str, size: u64) -> Option<ByteRange> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |s: &str| -> Option<u64> {
        let digits = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| s.parse().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let count = number(last)?.min(size);
        return Some(if count == 0 { ByteRange::Beyond } else { ByteRange::Part { from: size - count, count } });
    }
    let from = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < from {
        return None;
    }
    if from >= size {
        return Some(ByteRange::Beyond);
    }
    Some(ByteRange::Part { from, count: (last - from).saturating_add(1).min(size - from) })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(range: &str, size: u64) -> ByteRange {
        wanted(&HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(range).unwrap())]), size, "\"e\"")
    }

    #[test]
    fn one_range_of_bytes_is_read() {
        let part = |from, count| ByteRange::Part { from, count };
        assert_eq!(of("bytes=0-0", 10), part(0, 1));
        assert_eq!(of("bytes=2-5", 10), part(2, 4));
        assert_eq!(of("bytes=2-", 10), part(2, 8));
        assert_eq!(of("bytes=2-999999999999999999999999", 10), part(2, 8));
        assert_eq!(of("bytes=-3", 10), part(7, 3));
        assert_eq!(of("bytes=-30", 10), part(0, 10));
    }

    #[test]
    fn what_the_file_has_not_is_beyond() {
        for (range, size) in
            [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)]
        {
            assert_eq!(of(range, size), ByteRange::Beyond, "{range} of {size}");
        }
    }

    #[test]
    fn anything_else_is_the_whole() {
        for range in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=+1-2", "items=0-1", "bytes=0-1,3-4"]
        {
            assert_eq!(of(range, 10), ByteRange::Whole, "{range}");
        }
        let mut headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=0-1"))]);
        assert_ne!(wanted(&headers, 10, "\"e\""), ByteRange::Whole);
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"e\""));
        assert_ne!(wanted(&headers, 10, "\"e\""), ByteRange::Whole);
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"other\""));
        assert_eq!(wanted(&headers, 10, "\"e\""), ByteRange::Whole);
    }
}
