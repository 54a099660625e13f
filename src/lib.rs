#![doc = include_str!("../README.md")]
//! # How the crate is built
//!
//! State is a git tree; what happened is the difference of two trees. The groups below are layers: a
//! module may name only modules of the groups above its own (`tests/it/tidy.rs` checks it), and only
//! the groups from `git` on touch the outside world.

// characters: what may be stored and how it is shown
pub mod text;

// words: validated newtypes
pub mod name;
pub mod stage;
pub mod time;

// nouns: plain data
pub mod entity;

// proof: who signed, by keys that people have
pub mod signature;

// bytes and nouns: where things lie, how they are written and read
pub mod format;

// trees: files by object id
pub mod tree;

// state: one tree as a value
pub mod snapshot;

// what happened, what is meant: events, references
pub mod event;
pub mod reference;
pub mod search;

// seeing: two states differ by events
pub mod diff;

// words for what happened: an event as a sentence
pub mod phrase;

// who is told: mail or not, and why
pub mod audience;

// words for programs: an event as webhooks tell it
pub mod payload;

// asking: actions
pub mod action;

// movement: an action becomes changed files
pub mod apply;

// judgement: the law book
pub mod rules;

// owners: the permissions in a git host's own words
pub mod codeowners;

// the repository: git on disk, the permissions of what several accounts share
pub mod git;
pub mod shared;

// the outside: the files of models, files of state
pub mod artifact;
pub mod kept;

// what must stay unknown: secrets outside git
pub mod secrets;

// who pushed what: the record of a served repository
pub mod pushes;

// who acts: people, signatures, records of pushes
pub mod authority;

// the transaction: read, apply, judge, commit
pub mod registry;

// the derived index: history and searches without a walk
pub mod index;

// the gate: a push or pull request judged before it lands
pub mod gate;

// threads: a panic in one of them ends the program
pub mod supervisor;

// the outbox: who was told how far, and what is still to be sent
pub mod outbox;

// telling: what landed becomes messages
pub mod deliver;

// following: what lands is seen, judged and told
pub mod watch;

// the hooks: the programs that git runs around a push
pub mod hook;

// the output: what commands and the own API print as JSON
pub mod view;

// the network: APIs over HTTP
pub mod server;

// the person: commands
pub mod cli;
