//! What commands are made of: options, the session, output, values of arguments.

pub(super) mod change;
pub(super) mod committers;
pub(super) mod complete;
pub(super) mod conditions;
pub(super) mod id_prefix;
pub(super) mod options;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod report;
pub(super) mod session;
pub(super) mod shell;
pub(super) mod single_value;
pub(super) mod suggest;
pub(super) mod table;
pub(super) mod value_parser;
pub(super) mod version_argument;
