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

/// Bytes that are gathered before they are hashed.
const GATHER: usize = 64 << 10;

/// Appends word by word. Payloads begin anywhere, and QEMU's emulation is several times
/// slower at vector loads that are not aligned: neither hashing payloads in place nor
/// copying them as the compiler would is bearable there.
fn append(to: &mut Vec<u8>, slice: &[u8]) {
    let words = slice.chunks_exact(8);
    let rest = words.remainder();
    for word in words {
        // The compiler would make vectors of it.
        let word = std::hint::black_box(u64::from_ne_bytes(word.try_into().expect("8 bytes")));
        to.extend_from_slice(&word.to_ne_bytes());
    }
    to.extend_from_slice(rest);
}

/// SHA-256 of the stream, with the CPU time that it took.
pub struct Hash {
    hash: Option<Sha256>,
    gathered: Vec<u8>,
    pub cpu: Duration,
}

impl Hash {
    /// Computes nothing if not `wanted`.
    pub fn new(wanted: bool) -> Hash {
        Hash {
            hash: wanted.then(Sha256::new),
            gathered: Vec::with_capacity(GATHER),
            cpu: Duration::ZERO,
        }
    }

    /// The next slices of the stream.
    pub fn update<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) {
        let Some(hash) = &mut self.hash else { return };
        let start = thread_cpu();
        for mut slice in slices {
            while !slice.is_empty() {
                let (now, later) = slice.split_at(slice.len().min(GATHER - self.gathered.len()));
                append(&mut self.gathered, now);
                slice = later;
                if self.gathered.len() == GATHER {
                    hash.update(&self.gathered);
                    self.gathered.clear();
                }
            }
        }
        self.cpu += thread_cpu() - start;
    }

    /// The hash in hexadecimal, if it was computed.
    pub fn finish(self) -> Option<String> {
        let digest = self.hash?.chain_update(&self.gathered).finalize();
        Some(digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathering_changes_nothing() {
        let data: Vec<u8> = (0..3 * GATHER + 77).map(|i| (i % 251) as u8).collect();
        let mut hash = Hash::new(true);
        hash.update(data.chunks(8948));
        let whole = Sha256::digest(&data);
        let hex = whole.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        assert_eq!(hash.finish(), Some(hex));
    }

    #[test]
    fn known_hash() {
        let mut hash = Hash::new(true);
        hash.update([&b"a"[..], b"bc"].into_iter());
        let hex = hash.finish().unwrap();
        assert!(hex.starts_with("ba7816bf8f01cfea") && hex.len() == 64, "{hex}");
    }
}
