// SPDX-License-Identifier: MIT
//! receive-rs PORT: waits for one connection and adds up the bytes that it sends.
use std::net::{Ipv6Addr, TcpListener};

fn main() {
    if let Err(error) = run() {
        eprintln!("receive-rs: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).ok_or("usage: receive-rs PORT")?.parse()?;
    let (socket, _) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?.accept()?;
    let window = zcio::Context::open()?.window(64, 64 << 10)?;
    let (mut bytes, mut mapped, mut sum) = (0, 0, 0u64);
    loop {
        let payloads = window.recv(&socket, 64)?;
        if payloads.is_empty() {
            break; // end of the stream
        }
        for payload in payloads {
            bytes += payload.len();
            mapped += payload.transfer().mapped;
            sum += payload.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        } // each payload's region is free again here
    }
    println!("received {bytes} bytes, {mapped} of them without a copy, sum {sum}");
    Ok(())
}
