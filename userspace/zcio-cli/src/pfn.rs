// SPDX-License-Identifier: MIT
//! Notes which physical pages payloads lie in, to be compared with what an observer
//! in the kernel saw.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use zcio::Payload;

const PAGE: usize = 4096;
const PRESENT: u64 = 1 << 63;
const PFN: u64 = (1 << 55) - 1;

/// The notes; kept in memory until the transfer is over.
pub struct Recorder {
    pagemap: File,
    file: PathBuf,
    sample: u64,
    limit: u64,
    seen: u64,
    lines: String,
}

impl Recorder {
    /// Notes every `sample`th payload that starts before `limit`.
    pub fn new(file: &Path, sample: u64, limit: u64) -> Result<Recorder, Box<dyn Error>> {
        let pagemap = File::open("/proc/self/pagemap")?;
        Ok(Recorder { pagemap, file: file.into(), sample, limit, seen: 0, lines: String::new() })
    }

    /// Looks at a payload that starts at `offset` of the stream.
    pub fn note(&mut self, offset: u64, payload: &Payload) -> Result<(), Box<dyn Error>> {
        self.seen += 1;
        if offset >= self.limit || self.seen % self.sample != 0 || payload.transfer().copied > 0 {
            return Ok(());
        }
        let start = payload.as_ptr().addr();
        let first = start / PAGE;
        let pages = (start + payload.len()).div_ceil(PAGE) - first;
        let mut entries = vec![0; pages * 8];
        self.pagemap.read_exact_at(&mut entries, first as u64 * 8)?;
        let mut done = 0;
        for entry in entries.chunks_exact(8) {
            let entry = u64::from_ne_bytes(entry.try_into()?);
            if entry & PRESENT == 0 || entry & PFN == 0 {
                return Err("/proc/self/pagemap does not say which pages (are you root?)".into());
            }
            let in_page = (start + done) % PAGE;
            let len = (PAGE - in_page).min(payload.len() - done);
            writeln!(self.lines, "{} {} {in_page} {len}", offset + done as u64, entry & PFN)?;
            done += len;
        }
        Ok(())
    }

    /// Writes the notes.
    pub fn finish(self) -> Result<(), Box<dyn Error>> {
        let name = self.file.display();
        Ok(std::fs::write(&self.file, self.lines).map_err(|error| format!("{name}: {error}"))?)
    }
}
