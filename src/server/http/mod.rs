//! From a connection to a handler: limits, checks, authentication, the choice of the route.

pub mod body_pace;
pub mod connections;
pub mod dispatch;
pub mod guard;
pub mod listen;
pub mod rate;
pub mod route;
pub mod smuggling_guard;
