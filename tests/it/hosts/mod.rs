//! Real pushes with the stock git client to real git hosts: what the gate is for, over every kind of transport that
//! runs here. The commands of the guides in `examples/hosts` set them up.

mod daemon;
mod file;
mod gitolite;
mod nginx;
pub mod page;
mod scenario;
mod ssh;
