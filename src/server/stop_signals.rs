//! The signals that tell a process to stop, for programs that do not serve requests.

use super::Signals;

/// Waits until the process is told to stop.
///
/// # Errors
///
/// When the signals cannot be received.
pub fn stopped() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        Signals::new()?.next().await;
        Ok(())
    })
}
