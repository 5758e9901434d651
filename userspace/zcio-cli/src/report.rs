// SPDX-License-Identifier: MIT
//! Progress while a transfer runs, and its result.

use crate::os::{process_cpu, thread_cpu};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use std::time::{Duration, Instant};
use zcio::{Counters, Transfer};

/// A transfer's totals, and the bar that shows it.
pub struct Report {
    direction: &'static str,
    copying: bool,
    bar: ProgressBar,
    started: Instant,
    process: Duration,
    /// Bytes moved.
    pub bytes: u64,
    /// Payloads, or with copies reads or writes.
    pub payloads: u64,
    mapped: u64,
    copied: u64,
    calls: u64,
    io: Duration,
    /// CPU time of touching what was received or filling what is sent.
    pub data: Duration,
}

impl Report {
    /// The clocks start now. `len` is how much is to come, if that is known.
    pub fn start(direction: &'static str, copying: bool, quiet: bool, len: Option<u64>) -> Report {
        let bar = match len {
            _ if quiet => ProgressBar::hidden(),
            Some(len) => ProgressBar::new(len),
            None => ProgressBar::new_spinner(),
        };
        let template = match len {
            Some(_) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{spinner} {bytes} {bytes_per_sec} {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are right"));
        Report {
            direction,
            copying,
            bar,
            started: Instant::now(),
            process: process_cpu(),
            bytes: 0,
            payloads: 0,
            mapped: 0,
            copied: 0,
            calls: 0,
            io: Duration::ZERO,
            data: Duration::ZERO,
        }
    }

    /// Runs a transferring call and counts its CPU time.
    pub fn io<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = thread_cpu();
        let result = call();
        self.io += thread_cpu() - start;
        self.calls += 1;
        result
    }

    /// Runs what fills or touches the data and counts its CPU time.
    pub fn data<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = thread_cpu();
        let result = work();
        self.data += thread_cpu() - start;
        result
    }

    /// Counts a payload.
    pub fn payload(&mut self, transfer: Transfer) {
        self.payloads += 1;
        self.bytes += transfer.bytes();
        self.mapped += transfer.mapped;
        self.copied += transfer.copied;
    }

    /// Shows how far it is.
    pub fn tick(&self) {
        self.bar.set_position(self.bytes);
    }

    /// Prints the result. `counters` are the context's, if one was used.
    pub fn finish(
        self,
        json: bool,
        quiet: bool,
        sha256: Option<String>,
        hash: Duration,
        counters: Option<&Counters>,
    ) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        let process = process_cpu() - self.process;
        let us = |time: Duration| time.as_micros() as u64;
        let reasons: serde_json::Map<_, _> = counters
            .into_iter()
            .flat_map(|counters| counters.reasons())
            .map(|(name, bytes)| (name.into(), bytes.into()))
            .collect();
        if !quiet {
            let (bytes, moved) = (self.bytes.max(1) as f64, HumanBytes(self.bytes));
            let how = if self.copying { "copying" } else { "zero-copy" };
            let rate = bytes * 8e-6 / seconds;
            let per_mb = (self.io + self.data).as_secs_f64() * 1e12 / bytes;
            eprintln!("{} {moved} ({how}) in {seconds:.2} s, {rate:.0} Mbit/s", self.direction);
            if let Some(sha256) = &sha256 {
                eprintln!("  sha256 {sha256}");
            }
            let mapped = self.mapped as f64 * 100.0 / bytes;
            eprintln!("  {} payloads in {} calls, {mapped:.2} % mapped", self.payloads, self.calls);
            for (name, bytes) in &reasons {
                eprintln!("  {bytes} bytes copied: {name}");
            }
            eprintln!("  {per_mb:.0} us of CPU per MB");
        }
        if json {
            let result = json!({
                "direction": self.direction,
                "mode": if self.copying { "copy" } else { "zc" },
                "bytes": self.bytes,
                "sha256": sha256,
                "seconds": seconds,
                "payloads": self.payloads,
                "mapped": self.mapped,
                "copied": self.copied,
                "reasons": reasons,
                "syscalls": self.calls,
                "cpu_us": us(process),
                "cpu_us_io": us(self.io),
                "cpu_us_data": us(self.data),
                "cpu_us_hash": us(hash),
            });
            println!("{result}");
        }
    }
}
