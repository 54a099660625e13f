//! Real pushes with the stock git client to real git hosts, over every kind of transport that runs here. The commands
//! of the guides in `examples/hosts` set the hosts up.

mod daemon;
mod file;
mod gitolite;
mod nginx;
pub mod page;
mod scenario;
mod ssh;
