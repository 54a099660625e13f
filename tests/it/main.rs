//! The integration tests, one binary: each file says what it tests.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test says on standard error what it is waiting for")]

mod advice;
mod artifacts_cli;
mod authority;
mod backlog;
mod bad_repo;
mod cases;
mod check;
mod clones;
mod commands;
mod demo;
mod durable;
mod examples;
mod fuzz;
mod gate;
mod history;
mod hooks;
mod hosts;
mod index;
mod kill;
mod laws;
mod lfs;
mod log;
mod mail;
mod mlflow;
mod outbox;
mod output;
mod pull_request;
mod pushes;
mod race;
mod references;
mod requests;
mod schema;
mod security;
mod server;
mod sharing;
mod signatures;
mod signing;
mod support;
mod syscalls;
mod terminal;
mod tidy;
mod times;
mod transcripts;
mod verify;
mod watch;
mod watch_kill;
mod webhooks;
mod work_tree;
