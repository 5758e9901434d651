// SPDX-License-Identifier: GPL-2.0
//! Each thread's timer: it interrupts what blocks, by signals, until that returns. So
//! nothing that a signal can interrupt takes longer than the program says.

use std::cell::Cell;
use std::ptr::null_mut;

/// Once it has fired, a timer fires again this often: the first signal may have come
/// just before the call began to wait.
const AGAIN_MS: i64 = 20;

thread_local! {
    static TIMER: Cell<libc::timer_t> = const { Cell::new(null_mut()) };
}

extern "C" fn nothing(_: i32) {}

/// SIGUSR1 interrupts; after SIGUSR2 a call begins again.
pub fn install_handlers() {
    for (signal, flags) in [(libc::SIGUSR1, 0), (libc::SIGUSR2, libc::SA_RESTART)] {
        // SAFETY: The handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            action.sa_flags = flags;
            libc::sigaction(signal, &action, null_mut());
        }
    }
}

/// Gives the current thread its timer.
pub fn create() {
    // SAFETY: Valid arguments; the timer ends with the process.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_notify_thread_id = libc::gettid();
        let mut id = null_mut();
        if libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut id) == 0 {
            TIMER.set(id);
        }
    }
}

fn set(first_ms: i64, again_ms: i64) {
    let time = |ms: i64| libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    let spec = libc::itimerspec { it_value: time(first_ms), it_interval: time(again_ms) };
    // SAFETY: A timer of this thread.
    unsafe { libc::timer_settime(TIMER.get(), 0, &spec, null_mut()) };
}

/// Runs a system call that may block, for about so many milliseconds. Its errno is kept.
pub fn limited(ms: u16, call: impl FnOnce() -> Result<i64, i32>) -> Result<i64, i32> {
    set(i64::from(ms.clamp(1, 200)), AGAIN_MS);
    let result = call();
    set(0, 0);
    result
}
