// SPDX-License-Identifier: MIT
//! The command `zcio`.
#![deny(unsafe_code)]

mod args;
mod info;
mod os;
mod pfn;
mod receive;
mod relay;
mod report;
mod send;
mod touch;

use args::{Args, Command};
use clap::{CommandFactory, Parser};
use std::error::Error;
use std::process::ExitCode;

fn run() -> Result<(), Box<dyn Error>> {
    match Args::parse().command {
        Command::Info(args) => info::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "zcio", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zcio: {error}");
            ExitCode::FAILURE
        }
    }
}
