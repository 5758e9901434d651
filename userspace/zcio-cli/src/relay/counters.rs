// SPDX-License-Identifier: MIT
//! What is counted and said while a relay runs, and its summary.

use super::args::Common;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use zcio::Context;

/// How often the counters are shown on a terminal, and where there is none.
const TICKS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// Where bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Client,
    Server,
}

impl Direction {
    /// Where they go.
    pub fn other(self) -> Direction {
        match self {
            Direction::Client => Direction::Server,
            Direction::Server => Direction::Client,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Client => "the client",
            Direction::Server => "the server",
        })
    }
}

/// What all clients of a relay have in common.
pub struct Shared {
    pub context: Context,
    /// Told when the running splices' bytes are to be counted.
    pub tick: Notify,
    kind: &'static str,
    noun: &'static str,
    quiet: bool,
    json: bool,
    bar: ProgressBar,
    started: Instant,
    moved: [AtomicU64; 2],
    copied: AtomicU64,
    clients: AtomicU64,
    open: AtomicU64,
    failed: AtomicU64,
    requests: AtomicU64,
}

impl Shared {
    /// Counts from now on. `kind` and `noun` are what it relays: TCP, connections.
    pub fn new(
        context: Context,
        common: &Common,
        kind: &'static str,
        noun: &'static str,
    ) -> Shared {
        let bar = if common.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        let style = ProgressStyle::with_template("{spinner} {msg}");
        bar.set_style(style.expect("the template is right"));
        Shared {
            context,
            tick: Notify::new(),
            kind,
            noun,
            quiet: common.quiet,
            json: common.json,
            bar,
            started: Instant::now(),
            moved: Default::default(),
            copied: AtomicU64::new(0),
            clients: AtomicU64::new(0),
            open: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// Counts bytes that were moved, and of these those that were copied.
    pub fn add(&self, from: Direction, moved: u64, copied: u64) {
        self.moved[from as usize].fetch_add(moved, Relaxed);
        self.copied.fetch_add(copied, Relaxed);
    }

    /// A client is there.
    pub fn opened(&self) {
        self.clients.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    /// A client is gone.
    pub fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// A client could not be served.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// A request was answered (HTTP).
    pub fn answered(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Says something, a line.
    pub fn say(&self, line: &dyn fmt::Display) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{line}"));
        }
    }

    /// Says what went wrong, also when it is to be quiet.
    pub fn complain(&self, line: &dyn fmt::Display) {
        self.bar.suspend(|| eprintln!("zcio: {line}"));
    }

    /// Shows the counters, again and again: on a terminal in place, else as lines when there is
    /// something new.
    pub async fn show(&self) {
        let terminal = !self.bar.is_hidden();
        let mut last = String::new();
        loop {
            tokio::time::sleep(TICKS[usize::from(!terminal)]).await;
            self.tick.notify_waiters();
            // Let those who were told do it.
            tokio::task::yield_now().await;
            let line = self.line();
            if terminal {
                self.bar.set_message(line);
                self.bar.tick();
            } else if line != last {
                self.say(&line);
                last = line;
            }
        }
    }

    fn line(&self) -> String {
        let [up, down] = self.bytes().map(HumanBytes);
        let (open, all) = (self.open.load(Relaxed), self.clients.load(Relaxed));
        format!("{open} open of {all} {}, {up} to the server, {down} back", self.noun)
    }

    fn bytes(&self) -> [u64; 2] {
        [self.moved[0].load(Relaxed), self.moved[1].load(Relaxed)]
    }

    /// Prints the summary.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        let (clients, failed) = (self.clients.load(Relaxed), self.failed.load(Relaxed));
        let ([up, down], copied) = (self.bytes(), self.copied.load(Relaxed));
        let requests = self.requests.load(Relaxed);
        if !self.quiet {
            let (there, back) = (HumanBytes(up), HumanBytes(down));
            let mut line = format!("relayed {clients} {}", self.noun);
            if requests > 0 {
                line += &format!(" with {requests} requests");
            }
            if failed > 0 {
                line += &format!(", {failed} of them failed");
            }
            let share = copied as f64 * 100.0 / (up + down).max(1) as f64;
            eprintln!("{line}, in {seconds:.2} s: {there} to the server, {back} back");
            eprintln!("  {share:.2} % of it was copied on the way");
        }
        if self.json {
            let mut result = json!({
                "relay": self.kind,
                "clients": clients,
                "failed": failed,
                "to_server": up,
                "to_client": down,
                "copied": copied,
                "seconds": seconds,
            });
            if self.kind == "http" {
                result["requests"] = requests.into();
            }
            println!("{result}");
        }
    }
}
