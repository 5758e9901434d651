// SPDX-License-Identifier: GPL-2.0
//! Many programs one after the other: which to run next, which to keep, what to say. All
//! that the host needs after a crash is on its disk before a program begins.

use crate::execute::{End, Executor};
use crate::generate;
use crate::mutate::mutate;
use crate::pattern::FOREIGN;
use crate::program::Program;
use crate::shared::{CALLS, CALL_NAMES};
use crate::sys;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How many of the last programs stay on disk.
const LAST: u64 = 16;
/// Every so many programs the user's account is looked at.
const ACCOUNT_EVERY: u64 = 64;
/// Every so many free memory is filled with what nobody may see.
const PLANT_EVERY: u64 = 16;
const SAY_EVERY: Duration = Duration::from_secs(15);
/// How many programs are made up anew, and not of others.
const FRESH: f64 = 0.4;

pub struct Campaign {
    executor: Executor,
    out: PathBuf,
    last: Vec<File>,
    mark: Option<File>,
    rng: StdRng,
    corpus: Vec<Program>,
    kept: usize,
    pub programs: u64,
    late: u64,
    killed: u64,
    start: Instant,
    said: Instant,
}

/// Gives pages back to the kernel that hold foreign bytes, for whoever allocates next.
fn plant() {
    drop(std::hint::black_box(vec![FOREIGN; 4 << 20]));
}

/// The programs of a folder, in the order of their names.
pub fn read_corpus(folder: &Path) -> Vec<(PathBuf, Program)> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
    paths.sort();
    let read = |path: PathBuf| match fs::read_to_string(&path).map(|text| Program::from_json(&text)) {
        Ok(Ok(program)) => Some((path, program)),
        _ => {
            eprintln!("zcio-fuzz: {} cannot be read as a program and is left out", path.display());
            None
        }
    };
    paths.into_iter().filter_map(read).collect()
}

impl Campaign {
    pub fn new(out: &Path, seed: u64) -> Result<Self, String> {
        let open = || -> std::io::Result<Vec<File>> {
            fs::create_dir_all(out.join("last"))?;
            fs::create_dir_all(out.join("corpus"))?;
            (0..LAST).map(|n| File::create(out.join(format!("last/{n:02}.json")))).collect()
        };
        Ok(Self {
            executor: Executor::new()?,
            out: out.to_owned(),
            last: open().map_err(|e| format!("{}: {e}", out.display()))?,
            mark: OpenOptions::new().write(true).open("/dev/kmsg").ok(),
            rng: StdRng::seed_from_u64(seed),
            corpus: Vec::new(),
            kept: 0,
            programs: 0,
            late: 0,
            killed: 0,
            start: Instant::now(),
            said: Instant::now(),
        })
    }

    pub fn add_corpus(&mut self, folder: &Path) {
        self.corpus.extend(read_corpus(folder).into_iter().map(|(_, program)| program));
    }

    /// Runs the corpus once, then makes programs until the time is over or so many were run.
    pub fn run(&mut self, seconds: Option<u64>, count: Option<u64>) -> Result<(), String> {
        for program in self.corpus.clone() {
            self.one(&program)?;
        }
        let over = |s: &Self| {
            seconds.is_some_and(|n| s.start.elapsed().as_secs() >= n) || count.is_some_and(|n| s.programs >= n)
        };
        while !over(self) {
            let program = self.next();
            self.one(&program)?;
        }
        self.executor.account()?;
        self.state();
        Ok(())
    }

    fn next(&mut self) -> Program {
        if self.corpus.is_empty() || self.rng.gen_bool(FRESH) {
            return generate::program(&mut self.rng);
        }
        // The later ones came by what is harder to reach.
        let n = self.corpus.len();
        let from = if self.rng.gen() { n * 3 / 4 } else { 0 };
        let (a, b) = (self.rng.gen_range(from..n), self.corpus.choose(&mut self.rng).expect("some"));
        let (a, b) = (self.corpus[a].clone(), b.clone());
        mutate(&mut self.rng, &a, &b)
    }

    /// Runs one program; a finding is written down, and is an error.
    pub fn one(&mut self, program: &Program) -> Result<(), String> {
        self.note(program).map_err(|e| format!("cannot write to {}: {e}", self.out.display()))?;
        self.programs += 1;
        let mut result = self.executor.run(program);
        if self.programs % PLANT_EVERY == 0 {
            plant();
        }
        if result.is_ok() && self.programs % ACCOUNT_EVERY == 0 {
            result = self.executor.account().and(result);
        }
        match result {
            Ok(End::Late) => self.late += 1,
            Ok(End::Killed) => self.killed += 1,
            Ok(End::Done) => {}
            Err(what) => {
                let finding = json!({ "what": what, "number": self.programs - 1, "program": program });
                let _ = sys::store(&self.out.join("finding.json"), &finding.to_string());
                self.state();
                return Err(what);
            }
        }
        let new = self.executor.kcov.as_mut().map_or(0, |kcov| kcov.collect());
        if new > 0 {
            self.keep(program);
        }
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            self.state();
            println!("zcio-fuzz: {}", self.line());
        }
        Ok(())
    }

    /// The program, on disk, and a mark in the kernel's log that names it.
    fn note(&mut self, program: &Program) -> std::io::Result<()> {
        let text = program.to_json();
        let file = &mut self.last[(self.programs % LAST) as usize];
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()?;
        if let Some(mark) = &mut self.mark {
            // One write is one line of the log.
            mark.write_all(format!("zcio-rig: test fuzz program {}\n", self.programs).as_bytes())?;
        }
        Ok(())
    }

    fn keep(&mut self, program: &Program) {
        self.kept += 1;
        self.corpus.push(program.clone());
        let name = format!("corpus/{:06}-{:04}.json", self.programs, self.kept);
        let _ = fs::write(self.out.join(name), program.to_json());
    }

    pub fn operations(&self) -> u64 {
        self.executor.env.shared.operations.load(Relaxed)
    }

    pub fn calls(&self) -> u64 {
        let shared = self.executor.env.shared;
        shared.results.iter().flatten().map(|n| n.load(Relaxed)).sum()
    }

    pub fn line(&self) -> String {
        let shared = self.executor.env.shared;
        let places = self.executor.kcov.as_ref().map(|k| format!("{} places, ", k.places.len()));
        format!(
            "{} s, {} programs, {} operations, {} calls of the device, {} MB compared, {}{} in the corpus",
            self.start.elapsed().as_secs(),
            self.programs,
            self.operations(),
            self.calls(),
            shared.checked.load(Relaxed) / 1_000_000,
            places.unwrap_or_default(),
            self.corpus.len()
        )
    }

    /// What the host adds up.
    fn state(&self) {
        let shared = self.executor.env.shared;
        let mut calls = serde_json::Map::new();
        for (call, name) in CALL_NAMES.iter().enumerate().take(CALLS) {
            let mut results = serde_json::Map::new();
            for (errno, n) in shared.results[call].iter().enumerate() {
                if n.load(Relaxed) > 0 {
                    results.insert(errno.to_string(), n.load(Relaxed).into());
                }
            }
            calls.insert((*name).to_owned(), results.into());
        }
        let state = json!({
            "seconds": self.start.elapsed().as_secs_f64(),
            "programs": self.programs,
            "operations": self.operations(),
            "calls": calls,
            "bytes_compared": shared.checked.load(Relaxed),
            "payloads_compared": shared.payloads.load(Relaxed),
            "connections_drained": shared.drained.load(Relaxed),
            "late": self.late,
            "killed": self.killed,
            "corpus": self.corpus.len(),
        });
        let _ = sys::store(&self.out.join("state.json"), &state.to_string());
        if let Some(kcov) = &self.executor.kcov {
            let places: Vec<&str> = kcov.places.iter().map(String::as_str).collect();
            let _ = sys::store(&self.out.join("places"), &places.join("\n"));
        }
    }
}
