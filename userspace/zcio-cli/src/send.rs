// SPDX-License-Identifier: MIT
//! `zcio send`

use crate::args::Send;
use crate::report::Report;
use crate::touch::Hash;
use std::error::Error;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use zcio::{Area, Context, Counters, Transfer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn run(args: &Send) -> Result<()> {
    let common = &args.common;
    let (mut source, len) = open(&args.file)?;
    let context = if common.copy { None } else { Some(Context::open()?) };
    let socket = TcpStream::connect(&args.to)
        .map_err(|error| format!("cannot connect to {}: {error}", args.to))?;
    let mut report = Report::start("sent", common.copy, common.quiet, len);
    let mut hash = Hash::new(!common.no_hash);
    let counters = match &context {
        Some(context) => {
            Some(mapping(args, context, &mut source, &socket, &mut report, &mut hash)?)
        }
        None => copying(args, &mut source, &socket, &mut report, &mut hash).map(|()| None)?,
    };
    // The peer closes when it has all.
    socket.shutdown(Shutdown::Write)?;
    let _ = (&socket).read(&mut [0])?;
    let hash_cpu = hash.cpu;
    report.finish(common.json, common.quiet, hash.finish(), hash_cpu, counters.as_ref());
    Ok(())
}

fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let named = |error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(named)?;
    let metadata = file.metadata().map_err(named)?;
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

/// Calls `read` until it gives 0 (the end, or nothing fits any more).
fn read_fully(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    loop {
        match read() {
            Ok(0) => return Ok(()),
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

fn mapping(
    args: &Send,
    context: &Context,
    source: &mut dyn Read,
    socket: &TcpStream,
    report: &mut Report,
    hash: &mut Hash,
) -> Result<Counters> {
    let pool = context.pool_for(socket, args.elements, args.chunk)?;
    let mut free: Vec<Area> =
        (0..args.elements).map(|_| pool.area()).collect::<zcio::Result<_>>()?;
    loop {
        let mut areas = Vec::with_capacity(args.elements);
        report.data(|| -> io::Result<()> {
            while let Some(mut area) = free.pop() {
                read_fully(|| area.fill_from(&mut *source))?;
                if area.is_empty() {
                    free.push(area);
                    break;
                }
                areas.push(area);
            }
            Ok(())
        })?;
        if areas.is_empty() {
            return Ok(context.info()?.tx);
        }
        hash.update(areas.iter().map(|area| &area[..]));
        let sent = report.io(|| pool.send_all(socket, areas))?;
        sent.transfers.iter().for_each(|transfer| report.payload(*transfer));
        report.tick();
        free.extend(sent.areas);
    }
}

fn copying(
    args: &Send,
    source: &mut dyn Read,
    mut socket: &TcpStream,
    report: &mut Report,
    hash: &mut Hash,
) -> Result<()> {
    let mut buffers = vec![vec![0; args.chunk]; args.elements];
    loop {
        let mut lens = Vec::with_capacity(args.elements);
        report.data(|| -> io::Result<()> {
            for buffer in &mut buffers {
                let mut len = 0;
                read_fully(|| {
                    let count = source.read(&mut buffer[len..])?;
                    len += count;
                    Ok(count)
                })?;
                if len == 0 {
                    break;
                }
                lens.push(len);
            }
            Ok(())
        })?;
        if lens.is_empty() {
            return Ok(());
        }
        let filled = || buffers.iter().zip(&lens).map(|(buffer, len)| &buffer[..*len]);
        hash.update(filled());
        let mut slices: Vec<IoSlice<'_>> = filled().map(IoSlice::new).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            match report.io(|| socket.write_vectored(rest)) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => {
                    let transfer = Transfer { copied: count as u64, ..Transfer::default() };
                    report.payload(transfer);
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error.into()),
            }
        }
        report.tick();
    }
}
