//! The body of a download: a file in chunks, hashed while it is sent.
//!
//! The last chunk of a whole file is sent only if the file has the expected SHA-256. A client never gets the end of a
//! damaged file: the connection breaks, which every client reports as a failure. A file of one chunk is checked before
//! any byte is sent.

use std::fs::File;
use std::future::Future as _;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::artifact::copy::{CopyReport, Hasher};
use crate::artifact::{ArtifactError, FileEntry};
use crate::name::Digest;

/// The number of bytes that are read and sent at once.
pub const CHUNK: u64 = 256 * 1024;

/// Reads a file in chunks.
#[derive(Debug)]
pub struct BodyReader {
    file: File,
    left: u64,
    /// For a whole file: the expected hash, and the hash of the bytes so far.
    check: Option<(Digest, Hasher)>,
}

impl BodyReader {
    /// Reads a whole file and checks it.
    pub fn whole<P>(file: File, entry: &FileEntry<P>) -> Self {
        Self { file, left: entry.size, check: Some((entry.sha256.clone(), Hasher::default())) }
    }

    /// Reads a part of a file that was checked before.
    ///
    /// # Errors
    ///
    /// When the file cannot be positioned.
    pub fn part(mut file: File, from: u64, count: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        Ok(Self { file, left: count, check: None })
    }

    /// Returns the next bytes, and the reader if more follow.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is too short, or does not have the expected hash.
    pub fn next(mut self) -> io::Result<(Bytes, Option<Self>)> {
        let count = self.left.min(CHUNK);
        let mut bytes = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        self.file.by_ref().take(count).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count;
        if let Some((_, hashing)) = &mut self.check {
            hashing.update(&bytes);
        }
        if self.left > 0 {
            return Ok((bytes.into(), Some(self)));
        }
        if let Some((expected, hashing)) = self.check {
            let CopyReport { sha256: found, size } = hashing.finish();
            if found != expected {
                return Err(io::Error::other(ArtifactError::Damaged { expected, found, size }));
            }
        }
        Ok((bytes.into(), None))
    }
}

/// The state of a body.
enum BodyState {
    Have(Bytes, Option<BodyReader>),
    Reading(JoinHandle<io::Result<(Bytes, Option<BodyReader>)>>),
    Done,
}

/// The body of a response.
pub struct FileBody {
    step: BodyState,
    left: u64,
}

impl FileBody {
    /// Makes a body of `size` bytes, of which the first are read already.
    pub fn new(first: Bytes, rest: Option<BodyReader>, size: u64) -> Self {
        Self { step: BodyState::Have(first, rest), left: size }
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (bytes, rest) = match &mut self.step {
            BodyState::Done => return Poll::Ready(None),
            BodyState::Have(bytes, rest) => (std::mem::take(bytes), rest.take()),
            BodyState::Reading(reading) => match ready!(Pin::new(reading).poll(cx)) {
                Ok(Ok(read)) => read,
                Ok(Err(e)) => {
                    self.step = BodyState::Done;
                    return Poll::Ready(Some(Err(e)));
                }
                Err(e) => {
                    self.step = BodyState::Done;
                    return Poll::Ready(Some(Err(io::Error::other(e))));
                }
            },
        };
        // The next chunk is read while this one is sent.
        self.step = rest.map_or(BodyState::Done, |reader| BodyState::Reading(spawn_blocking(|| reader.next())));
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.step, BodyState::Done)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::artifact::{FilePath, copy};

    fn stored(bytes: &[u8]) -> (File, FileEntry<()>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let path = FilePath::new("model.bin").unwrap();
        (file, FileEntry { path, size: bytes.len() as u64, sha256: copy::sha256(bytes), place: () })
    }

    fn all(mut reader: BodyReader) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let (bytes, rest) = reader.next()?;
            out.extend_from_slice(&bytes);
            match rest {
                Some(rest) => reader = rest,
                None => return Ok(out),
            }
        }
    }

    #[test]
    fn whole_files_and_parts_are_read() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let (file, entry) = stored(&bytes);
            assert_eq!(all(BodyReader::whole(file, &entry)).unwrap(), bytes);
            if size > 2 {
                let (file, _) = stored(&bytes);
                assert_eq!(all(BodyReader::part(file, 1, size - 2).unwrap()).unwrap(), bytes[1..bytes.len() - 1]);
            }
        }
    }

    #[test]
    fn the_end_of_a_damaged_file_is_never_given() {
        let bytes = vec![7; 700_000];
        for damaged in [0, 300_000, 699_999] {
            let (_, entry) = stored(&bytes);
            let mut other = bytes.clone();
            other[damaged] = 8;
            let (file, _) = stored(&other);
            let mut reader = BodyReader::whole(file, &entry);
            let mut given = 0;
            let failed = loop {
                match reader.next() {
                    Ok((bytes, Some(rest))) => {
                        given += bytes.len();
                        reader = rest;
                    }
                    Ok((_, None)) => panic!("all of it was given"),
                    Err(e) => break e,
                }
            };
            assert!(given < 700_000 && failed.to_string().contains("is damaged"), "{given} {failed}");
        }
    }

    #[test]
    fn a_file_that_is_too_short_fails() {
        let (_, entry) = stored(&[7; 100]);
        let (short, _) = stored(&[7; 99]);
        assert_eq!(all(BodyReader::whole(short, &entry)).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
