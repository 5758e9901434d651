// SPDX-License-Identifier: GPL-2.0

//! As much of the crate of this name as the targets here use: `fuzz_target!` for a type
//! that is made of the input's bytes. `tests/host/fuzz` links clang's libFuzzer.

#![no_std]

pub use arbitrary;

/// The bytes that libFuzzer passes.
///
/// # Safety
///
/// `data` must point to `size` bytes that nobody changes for as long as the slice is used.
pub unsafe fn input<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: The caller promises just that.
    unsafe { core::slice::from_raw_parts(data, size) }
}

/// Makes the function that libFuzzer calls for each input. A panic is a finding.
#[macro_export]
macro_rules! fuzz_target {
    (|$data:ident: $type:ty| $body:block) => {
        #[no_mangle]
        extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
            use $crate::arbitrary::{Arbitrary, Unstructured};
            // SAFETY: These are libFuzzer's bytes, and stay as they are during the call.
            let bytes = unsafe { $crate::input(data, size) };
            if let Ok($data) = <$type>::arbitrary_take_rest(Unstructured::new(bytes)) {
                $body
            }
            0
        }
    };
}
