//! The integration tests, one binary: each file says what it tests.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test says on standard error what it is waiting for")]

mod examples;
mod index;
mod schema;
mod support;
mod tidy;
mod transcripts;
