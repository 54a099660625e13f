#![doc = include_str!("../README.md")]
//! # How the crate is built
//!
//! The state of a registry is a git tree. An event is one difference of two trees. The groups of modules below are
//! layers: a module may name only modules of the groups above its own (`tests/it/tidy.rs` checks this). Only the groups
//! from `git` on read files, start programs or use the network.

// characters: which ones may be stored, and how they are shown
pub mod text;

// validated newtypes: names, stages, timestamps
pub mod name;
pub mod stage;
pub mod time;

// plain data: models, versions, requests, people, settings
pub mod entity;

// signatures: verified with the public keys of people
pub mod signature;

// the file format: paths, reading and writing of files
pub mod format;

// trees: files by object id
pub mod tree;

// snapshots: the state of a registry in one tree
pub mod snapshot;

// events and queries: what changed, references to versions, search filters
pub mod event;
pub mod reference;
pub mod search;

// differences: two snapshots become events
pub mod diff;

// sentences: an event in words, for people
pub mod phrase;

// recipients: which people get mail about an event, and why
pub mod audience;

// payloads: an event as webhooks send it
pub mod payload;

// actions: the changes that a caller can ask for
pub mod action;

// application: an action becomes changed files
pub mod apply;

// rules: the law book
pub mod rules;

// CODEOWNERS: the permissions in the words of a git host
pub mod codeowners;

// the repository: git on disk, file permissions of folders that several accounts share; the system's clock
pub mod clock;
pub mod git;
pub mod shared;

// files outside git: artifacts, private state files
pub mod artifact;
pub mod private_file;

// secrets: kept outside git
pub mod secrets;

// record of pushes: who pushed what to a served repository
pub mod pushes;

// authority: the committer, known by people's keys, signatures and records of pushes
pub mod authority;

// the transaction: read, apply, judge, commit
pub mod registry;

// the derived index: history and searches without a walk
pub mod index;

// the gate: judges a push or a pull request before it reaches the branch
pub mod gate;

// threads: a panic in one of them ends the program
pub mod supervisor;

// the outbox: the state of each channel's deliveries, and what is still to be sent
pub mod outbox;

// delivery: events become messages
pub mod deliver;

// the watcher: follows a branch, judges each new step and reports its events
pub mod watch;

// the hooks: the programs that git runs around a push
pub mod hook;

// the output: what commands and the Greenroom API print as JSON
pub mod view;

// the network: APIs over HTTP
pub mod server;

// command line: the commands
pub mod cli;
