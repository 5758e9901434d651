// SPDX-License-Identifier: MIT
//! send-rs HOST PORT [BYTES]: connects and sends BYTES bytes (1 MiB) of a pattern.
use std::net::TcpStream;

fn main() {
    if let Err(error) = run() {
        eprintln!("send-rs: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(host), Some(port)) = (args.next(), args.next()) else {
        return Err("usage: send-rs HOST PORT [BYTES]".into());
    };
    let total: usize = args.next().map_or(Ok(1 << 20), |bytes| bytes.parse())?;
    let socket = TcpStream::connect((host.as_str(), port.parse()?))?;
    let pool = zcio::Context::open()?.pool_for(&socket, 4, 64 << 10)?;
    let (mut done, mut mapped, mut sum) = (0, 0, 0u64);
    while done < total {
        let mut area = pool.area()?;
        area.set_len(area.capacity().min(total - done));
        for byte in area.iter_mut() {
            *byte = (done % 251) as u8;
            sum += u64::from(*byte);
            done += 1;
        }
        let sent = pool.send_all(&socket, vec![area])?; // what is sent cannot change any more
        mapped += sent.transfers.iter().map(|transfer| transfer.mapped).sum::<u64>();
    }
    println!("sent {done} bytes, {mapped} of them without a copy, sum {sum}");
    Ok(())
}
