// SPDX-License-Identifier: GPL-2.0
//! Bytes that say where they belong: each byte of a stream follows from the stream and
//! its place in it, and differs from those that must never be seen.

/// Lies where nobody but its owner may look: in memory given back to the kernel, in
/// datagrams for others.
pub const FOREIGN: u8 = 0xd7;
/// What the kernel writes into free pages (page_poison=1) and objects (slub_debug=P).
pub const POISON: [u8; 3] = [0xaa, 0x6b, 0x5a];
/// Lies around payloads in the areas of a pool.
pub const ROOM: u8 = 0xc5;

/// A prime, so that no two pages of a stream are the same for long.
pub const PERIOD: usize = 65521;
/// Most bytes that are looked at in one piece.
pub const PIECE: usize = 1 << 20;
const STREAM_STEP: u64 = 7919;

/// The byte at `at` of the table that all streams are cut from.
fn byte(at: usize) -> u8 {
    let b = 1 + ((at as u32).wrapping_mul(2654435761) >> 11) as u8 % 255;
    if b == ROOM || never(b) {
        b ^ 0x3c
    } else {
        b
    }
}

/// A run of these is somebody else's memory.
fn never(b: u8) -> bool {
    b == FOREIGN || POISON.contains(&b)
}

pub struct Pattern(Vec<u8>);

impl Pattern {
    pub fn new() -> Self {
        Self((0..PERIOD + PIECE).map(|at| byte(at % PERIOD)).collect())
    }

    /// Where in the table byte `pos` of a stream stands.
    pub fn place(stream: usize, pos: u64) -> usize {
        ((pos + stream as u64 * STREAM_STEP) % PERIOD as u64) as usize
    }

    /// `len` bytes, at most PIECE, of a stream from `pos` on.
    pub fn bytes(&self, stream: usize, pos: u64, len: usize) -> &[u8] {
        let place = Self::place(stream, pos);
        &self.0[place..place + len]
    }

    pub fn table(&self) -> &[u8] {
        &self.0
    }

    /// The first byte of `got` that is not the stream's, as a text that helps to see why.
    pub fn differs(&self, stream: usize, pos: u64, got: &[u8]) -> Option<String> {
        let want = self.bytes(stream, pos, got.len());
        if got == want {
            return None;
        }
        let at = got.iter().zip(want).position(|(g, w)| g != w)?;
        let seen = &got[at..got.len().min(at + 8)];
        let known = match seen[0] {
            0 => " (zero)",
            FOREIGN => " (foreign)",
            b if never(b) => " (poison)",
            ROOM => " (room of an area)",
            _ => "",
        };
        let belongs = (at + 8 <= got.len()).then(|| {
            let found = self.0[..PERIOD + 8].windows(8).position(|w| w == seen)?;
            let here = Self::place(stream, pos + at as u64);
            Some(format!("; it is {} bytes further in the table", found as i64 - here as i64))
        });
        Some(format!(
            "byte {} of stream {stream} ({at} of {}) is {seen:02x?}{known}{}",
            pos + at as u64,
            got.len(),
            belongs.flatten().unwrap_or_default()
        ))
    }
}

/// A run of bytes that nobody may see: where it begins, and what it is.
pub fn forbidden(bytes: &[u8]) -> Option<(usize, u8)> {
    const RUN: usize = 32;
    let mut start = 0;
    for end in 1..=bytes.len() {
        if end == bytes.len() || bytes[end] != bytes[start] {
            if end - start >= RUN && never(bytes[start]) {
                return Some((start, bytes[start]));
            }
            start = end;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_never_taken_for_anything_else() {
        let pattern = Pattern::new();
        for b in pattern.table() {
            assert!(*b != 0 && *b != ROOM && !never(*b));
        }
        assert_eq!(forbidden(pattern.table()), None);
    }

    #[test]
    fn a_wrong_byte_is_seen_with_its_place() {
        let pattern = Pattern::new();
        let mut got = pattern.bytes(2, 1000, 5000).to_vec();
        assert_eq!(pattern.differs(2, 1000, &got), None);
        got[17] = 0;
        let text = pattern.differs(2, 1000, &got).expect("it differs");
        assert!(text.starts_with("byte 1017 of stream 2 (17 of 5000) is [00,"), "{text}");
        assert!(pattern.differs(3, 1000, pattern.bytes(2, 1000, 64)).is_some());
    }

    #[test]
    fn runs_of_foreign_bytes_are_found() {
        let mut bytes = vec![1; 200];
        bytes[100..131].fill(FOREIGN);
        assert_eq!(forbidden(&bytes), None);
        bytes[100..132].fill(FOREIGN);
        assert_eq!(forbidden(&bytes), Some((100, FOREIGN)));
        bytes[168..].fill(POISON[0]);
        bytes[100] = 1;
        assert_eq!(forbidden(&bytes), Some((168, POISON[0])));
    }
}
