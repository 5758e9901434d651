// SPDX-License-Identifier: MIT
//! `zcio info`

use crate::args;
use indicatif::HumanBytes;
use serde_json::{json, Value};
use std::error::Error;
use zcio::{Context, Counters, Info};

pub fn run(args: &args::Info) -> Result<(), Box<dyn Error>> {
    let info = Context::open()?.info()?;
    if args.json {
        println!("{}", as_json(&info));
        return Ok(());
    }
    println!("interface version       {}", info.version);
    println!("page                    {}", HumanBytes(info.page_size as u64));
    println!("payloads in a call      {}", info.max_elements);
    println!("smallest region         {}", HumanBytes(info.min_region as u64));
    println!("room around a payload   {} before, {} behind", info.head_room, info.tail_room);
    println!("largest window          {}", HumanBytes(info.max_window));
    println!("largest pool            {}", HumanBytes(info.max_pool));
    println!("copies calls below      {}", HumanBytes(info.copy_threshold));
    println!("in use in the system    {} contexts", info.total_contexts);
    println!("  pages in windows      {}", info.total_window_pages);
    println!("  pages in pools        {}", info.total_pool_pages);
    Ok(())
}

fn as_json(info: &Info) -> Value {
    json!({
        "version": info.version,
        "page_size": info.page_size,
        "max_elements": info.max_elements,
        "min_region": info.min_region,
        "head_room": info.head_room,
        "tail_room": info.tail_room,
        "max_window": info.max_window,
        "max_pool": info.max_pool,
        "copy_threshold": info.copy_threshold,
        "window_pages": info.window_pages,
        "pool_pages": info.pool_pages,
        "total_contexts": info.total_contexts,
        "total_window_pages": info.total_window_pages,
        "total_pool_pages": info.total_pool_pages,
        "rx": counters(&info.rx),
        "tx": counters(&info.tx),
    })
}

fn counters(counters: &Counters) -> Value {
    json!({
        "calls": counters.calls,
        "payloads": counters.payloads,
        "mapped": counters.mapped,
        "copied": counters.copied,
        "reasons": counters.reasons().collect::<std::collections::BTreeMap<_, _>>(),
    })
}
