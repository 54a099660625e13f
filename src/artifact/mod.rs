//! The files of a model: from a folder into the registry and back, every byte checked by SHA-256.
//!
//! Small text files are committed to the tree. The other files go into a content store in Git LFS's own layout, and the
//! tree gets a pointer for each. So the stock `git lfs` can push and pull them:
//!
//! ```text
//! folder ── ingest ──▶ store + Ingested ── add_to_patch ──▶ tree
//! folder ◀── fetch ─── store + entries  ◀───── list ─────── tree
//! ```
//!
//! No part of a model is ever run or unpickled; `MLmodel` and the environment files are read as data.

mod budget;
pub mod copy;
pub mod entry;
pub mod environment;
pub mod error;
pub mod evidence;
pub mod exclude;
mod fact_text;
pub mod facts;
pub mod fetch;
pub mod findings;
pub mod guarded;
pub mod import;
pub mod ingest;
pub mod manifest;
pub mod mlmodel;
pub mod parallel;
pub mod path;
pub mod pointer;
mod pointers;
pub mod python_json;
mod receive;
pub mod recorded;
pub mod register;
pub mod signature;
pub mod store;
pub mod upload;
pub mod walk;
pub mod yaml;

pub use entry::{ArtifactLimits, Content, FileEntry, FileLocation, TransferProgress};
pub use error::ArtifactError;
pub use exclude::Exclude;
pub use facts::ModelFacts;
pub use fetch::fetch;
pub use findings::{ModelFinding, findings};
pub use guarded::Guarded;
pub use ingest::{ByteStorage, IngestedFolder, add_to_patch, attributes, ingest, ingest_selected};
pub use manifest::{ArtifactListing, list, list_all, missing, read_file, summary, verify};
pub use path::FilePath;
pub use pointer::Pointer;
pub use register::record;
pub use store::Store;
pub use upload::{Incoming, UploadError, UploadId, Uploads};
pub use walk::{GitFolders, Links, Selection};
