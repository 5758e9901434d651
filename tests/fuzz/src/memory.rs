// SPDX-License-Identifier: GPL-2.0
//! Touching memory that may not be there: a copy that says that it failed, where a plain
//! one would end the process.

use std::arch::global_asm;

global_asm!(
    ".globl zcio_fuzz_copy",
    ".globl zcio_fuzz_copy_failed",
    "zcio_fuzz_copy:", // rdi: to, rsi: from, rdx: bytes
    "mov rcx, rdx",
    "shr rcx, 3",
    "rep movsq",
    "mov rcx, rdx",
    "and rcx, 7",
    "rep movsb",
    "xor eax, eax",
    "ret",
    "zcio_fuzz_copy_failed:",
    "mov eax, 1",
    "ret",
);

extern "C" {
    fn zcio_fuzz_copy(to: *mut u8, from: *const u8, len: usize) -> i32;
    fn zcio_fuzz_copy_failed();
}

/// A fault inside the copy makes the copy fail; any other one ends the process as usual.
extern "C" fn fault(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let start = zcio_fuzz_copy as *const () as i64;
    let failed = zcio_fuzz_copy_failed as *const () as i64;
    // SAFETY: The kernel passes the context of the interrupted thread.
    let rip = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] };
    if (start..failed).contains(rip) {
        *rip = failed;
    } else {
        // SAFETY: Always sound; the instruction faults again when this returns.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Must have been called before any of the following.
pub fn catch_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: The handler does only what a handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Copies from anywhere; false if it could not be read.
pub fn read(from: usize, to: &mut [u8]) -> bool {
    // SAFETY: `to` can be written; a fault on the other side is caught.
    unsafe { zcio_fuzz_copy(to.as_mut_ptr(), from as *const u8, to.len()) == 0 }
}

/// Copies to anywhere in the slots; false if it could not be written.
pub fn write(to: usize, from: &[u8]) -> bool {
    // SAFETY: Slots hold nothing that Rust knows of; a fault is caught.
    unsafe { zcio_fuzz_copy(to as *mut u8, from.as_ptr(), from.len()) == 0 }
}

/// Structures of the kernel's interface as bytes.
pub fn bytes_of<T>(items: &[T]) -> &[u8] {
    // SAFETY: These are plain data without padding.
    unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_from_nowhere_fails_and_nothing_else() {
        catch_faults();
        let mut to = [0u8; 100];
        assert!(!read(0x1000, &mut to));
        assert!(!write(0x1000, &to));
        assert!(!read(usize::MAX - 5, &mut to));
        let from = [7u8; 100];
        assert!(read(from.as_ptr() as usize, &mut to[..99]));
        assert_eq!((to[98], to[99]), (7, 0));
    }
}
