// SPDX-License-Identifier: MIT
//! `zcio receive`

use crate::args::Receive;
use crate::os;
use crate::pfn::Recorder;
use crate::report::Report;
use crate::touch::{touch, Hash};
use std::error::Error;
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use zcio::{Context, Counters, Transfer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What happens to the data of both ways.
struct Sink {
    report: Report,
    hash: Hash,
    output: Option<Box<dyn Write>>,
}

impl Sink {
    /// Takes the slices that one call received.
    fn take<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]> + Clone) -> io::Result<()> {
        self.report.data(|| slices.clone().for_each(touch));
        self.hash.update(slices.clone());
        if let Some(output) = &mut self.output {
            for slice in slices {
                output.write_all(slice)?;
            }
        }
        self.report.tick();
        Ok(())
    }
}

pub fn run(args: &Receive) -> Result<()> {
    let common = &args.common;
    if common.json && args.output == Path::new("-") {
        return Err("--json and --output - both want stdout".into());
    }
    let output = open(&args.output)?;
    let context = if common.copy { None } else { Some(Context::open()?) };
    let listener = TcpListener::bind(&args.listen)
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    if !common.quiet {
        eprintln!("waiting for a connection to {}", listener.local_addr()?);
    }
    let (socket, _) = listener.accept()?;
    drop(listener);
    os::set_receive_low_water(&socket, args.wait)?;
    let report = Report::start("received", common.copy, common.quiet, None);
    let mut sink = Sink { report, hash: Hash::new(!common.no_hash), output };
    let counters = match &context {
        Some(context) => Some(mapping(args, context, &socket, &mut sink)?),
        None => copying(args, &socket, &mut sink).map(|()| None)?,
    };
    if let Some(output) = &mut sink.output {
        output.flush()?;
    }
    let hash_cpu = sink.hash.cpu;
    let sha256 = sink.hash.finish();
    sink.report.finish(common.json, common.quiet, sha256, hash_cpu, counters.as_ref());
    Ok(())
}

fn open(path: &Path) -> Result<Option<Box<dyn Write>>> {
    Ok(match path.to_str() {
        Some("none") => None,
        Some("-") => Some(Box::new(io::stdout().lock())),
        _ => {
            let name = path.display();
            Some(Box::new(File::create(path).map_err(|error| format!("{name}: {error}"))?))
        }
    })
}

fn mapping(
    args: &Receive,
    context: &Context,
    socket: &TcpStream,
    sink: &mut Sink,
) -> Result<Counters> {
    if let Some(bytes) = args.copy_threshold {
        context.set_copy_threshold(bytes as u64)?;
    }
    let window = context.window(args.elements, args.region)?;
    let limit = args.pfn_limit.map_or(u64::MAX, |limit| limit as u64);
    let mut recorder =
        args.pfn.as_deref().map(|file| Recorder::new(file, args.pfn_sample, limit)).transpose()?;
    loop {
        let payloads = match sink.report.io(|| window.recv(socket, args.elements)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if payloads.is_empty() {
            break;
        }
        for payload in &payloads {
            if let Some(recorder) = &mut recorder {
                recorder.note(sink.report.bytes, payload)?;
            }
            sink.report.payload(payload.transfer());
        }
        sink.take(payloads.iter().map(|payload| &payload[..]))?;
        sink.report.data(|| drop(payloads));
    }
    recorder.map_or(Ok(()), Recorder::finish)?;
    Ok(context.info()?.rx)
}

fn copying(args: &Receive, mut socket: &TcpStream, sink: &mut Sink) -> Result<()> {
    let mut buffer = vec![0; args.chunk];
    loop {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let count = match sink.report.io(|| socket.read_vectored(&mut slices)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            return Ok(());
        }
        let transfer = Transfer { copied: count as u64, ..Transfer::default() };
        sink.report.payload(transfer);
        sink.take(std::iter::once(&buffer[..count]))?;
    }
}
