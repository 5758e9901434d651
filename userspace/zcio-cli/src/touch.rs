// SPDX-License-Identifier: MIT
//! What is done to the data, the same whether it was copied or mapped.

use crate::os::thread_cpu;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Reads one byte of every 64, a cache line: as little as a program can do that looks
/// at all of its data.
pub fn touch(bytes: &[u8]) {
    let sum: u64 = bytes.iter().step_by(64).map(|byte| u64::from(*byte)).sum();
    std::hint::black_box(sum);
}

/// SHA-256 of the stream, with the CPU time that it took.
pub struct Hash {
    hash: Option<Sha256>,
    pub cpu: Duration,
}

impl Hash {
    /// Computes nothing if not `wanted`.
    pub fn new(wanted: bool) -> Hash {
        Hash { hash: wanted.then(Sha256::new), cpu: Duration::ZERO }
    }

    /// The next slices of the stream.
    pub fn update<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) {
        let Some(hash) = &mut self.hash else { return };
        let start = thread_cpu();
        slices.for_each(|slice| hash.update(slice));
        self.cpu += thread_cpu() - start;
    }

    /// The hash in hexadecimal, if it was computed.
    pub fn finish(self) -> Option<String> {
        let digest = self.hash?.finalize();
        Some(digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hash() {
        let mut hash = Hash::new(true);
        hash.update([&b"a"[..], b"bc"].into_iter());
        let hex = hash.finish().unwrap();
        assert!(hex.starts_with("ba7816bf8f01cfea") && hex.len() == 64, "{hex}");
    }
}
