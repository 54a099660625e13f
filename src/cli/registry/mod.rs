//! Commands about a registry: create, configure, change its files at once.

pub(super) mod apply_entry;
pub(super) mod apply_file;
pub(super) mod demo;
pub(super) mod fmt;
pub(super) mod index;
pub(super) mod init;
pub(super) mod relocate;
pub(super) mod reshard;
pub(super) mod schema;
pub(super) mod settings;
pub(super) mod stage;
