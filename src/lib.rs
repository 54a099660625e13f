#![doc = include_str!("../README.md")]
//! # How the crate is built
//!
//! State is a git tree; what happened is the difference of two trees. The groups below are layers: a
//! module may name only modules of the groups above its own (`tests/it/tidy.rs` checks it), and only
//! the groups from `git` on touch the outside world.

// text: what is plain, one line, quoted
pub mod text;

// words: validated newtypes
pub mod name;
pub mod stage;
pub mod time;

// nouns: plain data
pub mod entity;

// state: one tree as a value
pub mod tree;
