// SPDX-License-Identifier: GPL-2.0
//! A fuzzer of /dev/zcio, to be run in the rig's guest: see README.md.

#[path = "../../../userspace/zcio/src/abi.rs"]
mod abi;
#[path = "../../../userspace/zcio/src/abi_splice.rs"]
#[allow(dead_code, reason = "of how a splice can end, only that it goes on matters here")]
mod abi_splice;
mod calls;
mod campaign;
mod descriptors;
mod execute;
mod generate;
mod generate_others;
mod kcov;
mod layout;
mod memory;
mod minimise;
mod mutate;
mod operate;
mod pattern;
mod program;
mod shared;
mod sockets;
mod splices;
mod sys;
mod timer;
mod userfault;
mod world;

use campaign::Campaign;
use clap::{Parser, Subcommand};
use program::Program;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Fuzzes /dev/zcio with programs of operations")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the corpus, then programs made up from the seed
    Run {
        /// Folder for what is found
        #[arg(long)]
        out: PathBuf,
        /// Folders of programs to begin with
        #[arg(long)]
        corpus: Vec<PathBuf>,
        #[arg(long)]
        seconds: Option<u64>,
        /// Programs in all
        #[arg(long)]
        count: Option<u64>,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run one program again and again
    Replay {
        program: PathBuf,
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value_t = 200)]
        times: u32,
    },
    /// Of the programs in a folder, keep the few that reach all that can be reached, made small
    Minimise {
        from: PathBuf,
        to: PathBuf,
        /// How often to try to make each program smaller
        #[arg(long, default_value_t = 20)]
        tries: u32,
    },
    /// Print a program made up from the seed
    Show {
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

/// A program, or the `program` of a finding.
fn read_program(path: &PathBuf) -> Result<Program, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    let value = value.get("program").cloned().unwrap_or(value);
    serde_json::from_value(value).map_err(|e| wrong(&e))
}

fn run(arguments: Arguments) -> Result<(), String> {
    match arguments.command {
        Command::Run { out, corpus, seconds, count, seed } => {
            let mut campaign = Campaign::new(&out, seed)?;
            corpus.iter().for_each(|folder| campaign.add_corpus(folder));
            campaign.run(seconds, count)?;
            println!("zcio-fuzz: {}", campaign.line());
        }
        Command::Replay { program, out, times } => {
            let program = read_program(&program)?;
            let mut campaign = Campaign::new(&out, 0)?;
            for _ in 0..times {
                campaign.one(&program)?;
            }
            println!("zcio-fuzz: {times} times, nothing found");
        }
        Command::Minimise { from, to, tries } => minimise::minimise(&from, &to, tries)?,
        Command::Show { seed } => {
            use rand::SeedableRng;
            let program = generate::program(&mut rand::rngs::StdRng::seed_from_u64(seed));
            println!("{}", serde_json::to_string_pretty(&program).expect("plain data"));
        }
    }
    Ok(())
}

/// 3: something was found, and lies in the folder given.
fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("zcio-fuzz: {what}");
            ExitCode::from(3)
        }
    }
}
