//! Ctrl-C: the first asks for an end that keeps what there is, the second ends at once.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// A flag that Ctrl-C sets, and that SIGTERM sets, which schedulers send before they kill. A second one ends the process with
/// status 130.
///
/// # Errors
/// What the system says.
pub fn watched() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
