//! The gate: what a push, a pull request or a merge would make happen is judged before it happens.
//!
//! The same judgement serves the hook ([`Gate::judge`]), the check of a pull request, and the audit of a history that
//! landed long ago. It fails closed: what cannot be read or decided is refused.

pub mod host;
pub mod limits;
pub mod refs;

pub use host::Pusher;
pub use limits::GateLimits;
pub use refs::{BadLine, Update};
