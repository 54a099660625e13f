//! The stored form of a commit's events: a record, a row of fixed size that finds it by number, and postings that find
//! it by model and version.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::{Fault, damaged};
use crate::event::Event;
use crate::name::ModelName;
use crate::phrase;
use crate::registry::LogEntry;
use crate::tree::Oid;

/// The record of a commit. The commit's id and parent are in its row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CommitRecord {
    pub(super) at: i64,
    pub(super) by: String,
    pub(super) author: String,
    pub(super) landed_by: Option<String>,
    pub(super) asked_by: Vec<String>,
    pub(super) signed: bool,
    pub(super) comment: String,
    pub(super) acts: Vec<EventText>,
}

/// One event of a commit, in words and as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventText {
    /// The event's dotted name.
    pub name: String,
    /// The model that the event concerns.
    pub model: Option<String>,
    /// The version that the event concerns.
    pub version: Option<u64>,
    /// The model's former name, if it was renamed.
    pub renamed_from: Option<String>,
    /// The event in words, without the person.
    pub text: String,
    /// Further details: requester, approvers, comment.
    pub details: Vec<String>,
    /// The event as JSON.
    pub json: String,
    /// The position of the event in its commit, from 0.
    #[serde(skip)]
    pub ordinal: u32,
}

impl EventText {
    fn of(event: &Event) -> Self {
        let renamed_from = match event {
            Event::ModelRenamed { from, .. } => Some(from.as_str().to_owned()),
            _ => None,
        };
        Self {
            name: event.name().to_owned(),
            model: event.model().map(|m| m.as_str().to_owned()),
            version: event.version(),
            renamed_from,
            text: phrase::act(event),
            details: phrase::details(event),
            // An event is plain data with string keys, which JSON can always hold.
            json: serde_json::to_string(event).unwrap_or_else(|_| "null".to_owned()),
            ordinal: 0,
        }
    }
}

impl CommitRecord {
    /// Creates the record of a step.
    pub(super) fn of(entry: &LogEntry) -> Self {
        Self {
            at: entry.at.as_millis(),
            by: entry.by.as_str().to_owned(),
            author: entry.author.clone(),
            landed_by: entry.landed_by.as_ref().map(|u| u.as_str().to_owned()),
            asked_by: entry.asked_by.iter().map(|u| u.as_str().to_owned()).collect(),
            signed: entry.signed,
            comment: entry.comment.clone(),
            acts: entry.events.iter().map(EventText::of).collect(),
        }
    }

    /// Encodes the record.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Fault> {
        postcard::to_stdvec(self).map_err(|e| damaged(format!("a record cannot be written: {e}")))
    }

    /// Decodes a record.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut record: Self =
            postcard::from_bytes(bytes).map_err(|e| damaged(format!("a record cannot be read: {e}")))?;
        for (act, ordinal) in record.acts.iter_mut().zip(0..) {
            act.ordinal = ordinal;
        }
        Ok(record)
    }

    /// Returns the postings of the record with this number.
    pub(super) fn postings(&self, number: u64) -> Vec<Posting> {
        let mut out: Vec<Posting> = Vec::new();
        for act in &self.acts {
            let renames = act.renamed_from.is_some();
            for model in act.model.iter().chain(&act.renamed_from) {
                let posting = Posting {
                    model: short_key(model),
                    version: act.version.unwrap_or(0),
                    number,
                    renames: renames && Some(model) == act.model.as_ref(),
                };
                if !out.contains(&posting) || out.len() > 64 {
                    out.push(posting);
                }
            }
        }
        out
    }
}

/// Returns the key of a model's name: a hash that is long enough to be unique.
pub(super) fn key(model: &str) -> [u8; 16] {
    let hash = Sha256::digest(model.as_bytes());
    hash.first_chunk::<16>().copied().unwrap_or_default()
}

/// Returns the first eight bytes of a model's key. Two models may share them, so results must be compared by name.
pub(super) fn short_key(model: &str) -> u64 {
    key(model).first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
}

/// Returns the key of a model's name.
pub(super) fn key_of(model: &ModelName) -> [u8; 16] {
    key(model.as_str())
}

/// A row: the commit, its time, and the position of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepRow {
    pub(super) commit: Oid,
    /// The time of the commit: the latest of its own time and all earlier ones, in milliseconds.
    pub(super) landed: i64,
    /// The position of the record.
    pub(super) at: u64,
    /// The length of the record, in bytes.
    pub(super) len: u32,
    /// The checksum of the record.
    pub(super) crc: u32,
}

impl StepRow {
    /// The size of an encoded row, in bytes.
    pub(super) const SIZE: usize = 57;

    /// Encodes the row.
    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut out = RowBuffer::new();
        let id = self.commit.as_bytes();
        out.put(&[u8::try_from(id.len()).unwrap_or(0)]);
        out.put(id);
        out.put(&[0; 12].repeat(usize::from(id.len() == 20)));
        out.put(&self.landed.to_le_bytes());
        out.put(&self.at.to_le_bytes());
        out.put(&self.len.to_le_bytes());
        out.put(&self.crc.to_le_bytes());
        out.done()
    }

    /// Decodes the row with a number from the whole part.
    pub(super) fn get(part: &[u8], number: usize) -> Option<Self> {
        let mut row = part.get(number.checked_mul(Self::SIZE)?..)?.get(..Self::SIZE)?;
        let len = usize::from(take::<1>(&mut row)?[0]);
        let id = take::<32>(&mut row)?;
        Some(Self {
            commit: Oid::from_bytes(id.get(..len)?)?,
            landed: i64::from_le_bytes(take(&mut row)?),
            at: u64::from_le_bytes(take(&mut row)?),
            len: u32::from_le_bytes(take(&mut row)?),
            crc: u32::from_le_bytes(take(&mut row)?),
        })
    }

    /// Reads only the time of the commit with a number.
    pub(super) fn landed(part: &[u8], number: usize) -> Option<i64> {
        let mut row = part.get(number.checked_mul(Self::SIZE)?.checked_add(33)?..)?;
        take(&mut row).map(i64::from_le_bytes)
    }
}

/// A reference from a model or version to a commit that touches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Posting {
    /// The first bytes of the model's key.
    pub(super) model: u64,
    /// The version; 0 for the model itself.
    pub(super) version: u64,
    /// The number of the commit.
    pub(super) number: u64,
    /// Whether the model got its name in this commit; older commits are found under its former name.
    pub(super) renames: bool,
}

impl Posting {
    /// The size of an encoded posting, in bytes.
    pub(super) const SIZE: usize = 25;

    /// Encodes the posting.
    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut out = RowBuffer::new();
        out.put(&self.model.to_le_bytes());
        out.put(&self.version.to_le_bytes());
        out.put(&self.number.to_le_bytes());
        out.put(&[u8::from(self.renames)]);
        out.done()
    }

    /// Decodes a posting from a row of the part.
    pub(super) fn decode(mut row: &[u8]) -> Option<Self> {
        Some(Self {
            model: u64::from_le_bytes(take(&mut row)?),
            version: u64::from_le_bytes(take(&mut row)?),
            number: u64::from_le_bytes(take(&mut row)?),
            renames: take::<1>(&mut row)? != [0],
        })
    }

    /// Whether a row of the part belongs to a model, without decoding the rest.
    pub(super) fn is_of(row: &[u8], model: u64) -> bool {
        row.first_chunk::<8>().is_some_and(|b| u64::from_le_bytes(*b) == model)
    }
}

/// The bytes of a row, filled from the left.
pub(super) struct RowBuffer<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> RowBuffer<N> {
    pub(super) fn new() -> Self {
        Self { bytes: [0; N], used: 0 }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        if let Some(to) = self.bytes.get_mut(self.used..self.used + bytes.len()) {
            to.copy_from_slice(bytes);
            self.used += bytes.len();
        }
    }

    pub(super) fn done(self) -> [u8; N] {
        self.bytes
    }
}

/// Takes bytes from the left of a row.
pub(super) fn take<const N: usize>(row: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = row.split_first_chunk::<N>()?;
    *row = rest;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_for_both_hashes() {
        for id in [&[7_u8; 20][..], &[9; 32]] {
            let commit = Oid::from_bytes(id).unwrap();
            let row = StepRow { commit, landed: -5, at: 1 << 40, len: 12, crc: u32::MAX };
            let part = [row.encode(), StepRow { at: 3, ..row }.encode()].concat();
            assert_eq!(StepRow::get(&part, 0), Some(row));
            assert_eq!(StepRow::get(&part, 1).map(|r| r.at), Some(3));
            assert_eq!(StepRow::landed(&part, 1), Some(-5));
            assert_eq!(StepRow::get(&part, 2), None);
        }
        let posting = Posting { model: short_key("churn"), version: u64::MAX, number: 3, renames: true };
        assert_eq!(Posting::decode(&posting.encode()), Some(posting));
        assert!(Posting::is_of(&posting.encode(), short_key("churn")));
    }
}
