//! Copies and hashes in one pass, so that the hash is always the hash of the written bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::name::Digest;

/// The size of a buffer in bytes: large enough to make system calls cheap, small enough to stay in the CPU cache.
const CHUNK: usize = 512 * 1024;
/// The number of buffers that circulate between the copying thread and the hashing thread.
const BUFFERS: usize = 4;
/// From this size on, in bytes, a second thread pays off.
const OVERLAP_FROM: u64 = 2 * 1024 * 1024;

/// The hash and size of copied bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyReport {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// The number of bytes.
    pub size: u64,
}

/// Copies all of `from` to `to` and hashes the copied bytes. `seen` receives the number of bytes of each step.
///
/// `expected` is the likely size in bytes; it decides whether hashing gets its own thread. Memory use is constant.
///
/// # Errors
/// The error of a read or write.
pub fn copy(from: &mut dyn Read, to: &mut dyn Write, expected: u64, seen: &dyn Fn(u64)) -> io::Result<CopyReport> {
    if expected < OVERLAP_FROM { copy_alone(from, to, expected, seen) } else { copy_overlapped(from, to, seen) }
}

/// Hashes all of `from`. The arguments are those of [`copy`].
///
/// # Errors
/// The error of a read.
pub fn hash(from: &mut dyn Read, expected: u64, seen: &dyn Fn(u64)) -> io::Result<CopyReport> {
    copy(from, &mut io::sink(), expected, seen)
}

/// Makes the new, empty file `to` a copy of `from` and hashes it.
///
/// Where the file system can share blocks (XFS, Btrfs), no bytes are copied: the clone is made atomically and then
/// hashed, so hash and bytes agree whatever happens to the source.
///
/// # Errors
/// The error of a read or write.
pub fn copy_file(from: &mut File, to: &mut File, expected: u64, seen: &dyn Fn(u64)) -> io::Result<CopyReport> {
    if cloned(from, to) { hash(to, expected, seen) } else { copy(from, to, expected, seen) }
}

#[cfg(target_os = "linux")]
fn cloned(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn cloned(_: &File, _: &File) -> bool {
    false
}

fn copy_alone(from: &mut dyn Read, to: &mut dyn Write, expected: u64, seen: &dyn Fn(u64)) -> io::Result<CopyReport> {
    // One byte more than expected, so that the end of the file shows without a larger buffer.
    let room = usize::try_from(expected.saturating_add(1)).unwrap_or(CHUNK).clamp(4096, CHUNK);
    let mut buffer = vec![0; room];
    let mut hasher = Hasher::default();
    loop {
        let n = fill(from, &mut buffer)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        to.write_all(bytes)?;
        hasher.update(bytes);
        seen(n as u64);
        if n < buffer.len() {
            return Ok(hasher.finish());
        }
    }
}

/// This thread reads and writes, another one hashes. The buffers circulate between the two.
fn copy_overlapped(from: &mut dyn Read, to: &mut dyn Write, seen: &dyn Fn(u64)) -> io::Result<CopyReport> {
    let (full, to_hash) = channel::<(Vec<u8>, usize)>();
    let (used, free) = channel::<Vec<u8>>();
    thread::scope(|scope| {
        let back = used.clone();
        let hashing = scope.spawn(move || hash_all(&to_hash, &back));
        for _ in 0..BUFFERS {
            let _ = used.send(vec![0; CHUNK]);
        }
        drop(used);
        let copied = copy_all(from, to, &free, full, seen);
        let hashed = hashing.join().unwrap_or_else(|panic| resume_unwind(panic));
        copied.map(|()| hashed.finish())
    })
}

/// Reads and writes until the end. Takes ownership of the sender, so that the other thread ends when this function
/// returns.
fn copy_all(
    from: &mut dyn Read,
    to: &mut dyn Write,
    free: &Receiver<Vec<u8>>,
    full: Sender<(Vec<u8>, usize)>,
    seen: &dyn Fn(u64),
) -> io::Result<()> {
    let gone = || io::Error::other("the hashing thread ended early");
    loop {
        let mut buffer = free.recv().map_err(|_| gone())?;
        let n = fill(from, &mut buffer)?;
        to.write_all(buffer.get(..n).unwrap_or_default())?;
        let end = n < buffer.len();
        full.send((buffer, n)).map_err(|_| gone())?;
        seen(n as u64);
        if end {
            return Ok(());
        }
    }
}

fn hash_all(full: &Receiver<(Vec<u8>, usize)>, back: &Sender<Vec<u8>>) -> Hasher {
    let mut hasher = Hasher::default();
    for (buffer, n) in full {
        hasher.update(buffer.get(..n).unwrap_or_default());
        // At the end the receiver of used buffers is gone.
        let _ = back.send(buffer);
    }
    hasher
}

/// Reads until the buffer is full or the source ends. Returns the number of bytes.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while let Some(rest) = buffer.get_mut(n..).filter(|r| !r.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// A running SHA-256 and the number of hashed bytes.
#[derive(Debug, Default)]
pub struct Hasher {
    state: Sha256,
    size: u64,
}

impl Hasher {
    /// Hashes further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Returns the hash and the number of all bytes.
    pub fn finish(self) -> CopyReport {
        CopyReport { sha256: digest(self.state), size: self.size }
    }
}

/// Returns the SHA-256 of bytes in memory.
pub fn sha256(bytes: &[u8]) -> Digest {
    digest(Sha256::new().chain_update(bytes))
}

/// Returns the digest of a running SHA-256.
#[expect(clippy::expect_used, reason = "32 bytes are 64 lower-case hexadecimal digits")]
pub(super) fn digest(state: Sha256) -> Digest {
    let hex: String = state.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Digest::new(hex).expect("a SHA-256 in hexadecimal is a digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_and_hash_agree_at_every_size() -> io::Result<()> {
        for size in [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, BUFFERS * CHUNK, 7 * CHUNK + 3] {
            let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i * 31 % 251).unwrap_or(0)).collect();
            for expected in [0, size as u64, u64::MAX] {
                let mut out = Vec::new();
                let copied = copy(&mut &bytes[..], &mut out, expected, &|_| {})?;
                assert_eq!(copied, CopyReport { sha256: sha256(&bytes), size: size as u64 });
                assert_eq!(out, bytes);
            }
        }
        Ok(())
    }

    #[test]
    fn a_failed_write_ends_both_threads() {
        struct DiskFull;
        impl Write for DiskFull {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut endless = io::repeat(7);
        let failed = copy(&mut endless, &mut DiskFull, u64::MAX, &|_| {});
        assert_eq!(failed.map_err(|e| e.kind()), Err(io::ErrorKind::StorageFull));
    }

    #[test]
    fn the_hash_is_sha256() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").as_str(), abc);
    }
}
