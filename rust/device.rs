// SPDX-License-Identifier: GPL-2.0

//! The face: what `/dev/zcio` answers to `mmap()`, `ioctl()` and `/proc/PID/fdinfo`.

use crate::charge::{all_contexts, all_pages, Holder};
use crate::context::{Context, Done};
use crate::ground::chardev::Device;
use crate::ground::debug::{reached, Point};
use crate::ground::poll::Poller;
use crate::ground::route::Route;
use crate::ground::socket::Socket;
use crate::ground::uapi::{
    self, Counters, InOut, Info, KeptArea, Readv, SpliceCall, SpliceStatus, Target, Tune, Writev,
};
use crate::ground::vma;
use crate::plan::area::Rooms;
use crate::plan::dma::zone;
use crate::plan::PAGE_SIZE;
use crate::pool::{self, Pool};
use crate::window::{self, Window};
use crate::{receive, region, splice, transmit};
use kernel::ioctl::{_IOW, _IOWR};
use kernel::mm::virt::VmaNew;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::sync::{Arc, ArcBorrow};

const INFO: u32 = _IOWR::<Info>(uapi::MAGIC, 0);
const READV: u32 = _IOWR::<Readv>(uapi::MAGIC, 1);
const WRITEV: u32 = _IOWR::<Writev>(uapi::MAGIC, 2);
const TUNE: u32 = _IOW::<Tune>(uapi::MAGIC, 3);
const TARGET: u32 = _IOWR::<Target>(uapi::MAGIC, 4);
const KEPT: u32 = _IOWR::<KeptArea>(uapi::MAGIC, 5);
const SPLICE: u32 = _IOW::<SpliceCall>(uapi::MAGIC, 6);
const UNSPLICE: u32 = _IOWR::<SpliceStatus>(uapi::MAGIC, 7);
const SPLICE_STATUS: u32 = _IOWR::<SpliceStatus>(uapi::MAGIC, 8);

/// An open of the device.
pub(crate) struct Open {
    context: Arc<Context>,
    splices: splice::Table,
}

impl Device for Open {
    fn open() -> Result<Arc<Self>> {
        let context = Context::new()?;
        let splices = splice::Table::new()?;
        Ok(Arc::new(Self { context, splices }, GFP_KERNEL)?)
    }

    /// The offset says what to make: see `ZCIO_MMAP_*`.
    fn mmap(this: ArcBorrow<'_, Self>, vma: &VmaNew, offset: usize) -> Result {
        let pages = (vma.end() - vma.start()) / PAGE_SIZE;
        let context = this.context.clone();
        match offset {
            uapi::MMAP_WINDOW if pages <= window::MAX_PAGES && vma.readable() => {
                vma::install(vma, Window::new(context, pages)?)
            }
            uapi::MMAP_POOL if pages <= pool::MAX_PAGES && vma.writable() => {
                vma::install(vma, Pool::new(context, pages)?)
            }
            _ => Err(EINVAL),
        }
    }

    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<usize> {
        match cmd {
            READV => call(arg, receive::readv),
            WRITEV => call(arg, transmit::writev),
            TARGET => call(arg, |target: &mut Target| this.target(target)),
            KEPT => call(arg, transmit::kept),
            INFO => call(arg, |info: &mut Info| this.info(info)),
            TUNE => this.tune(uapi::read(arg)?),
            SPLICE => splice::start(&this.splices, uapi::read(arg)?),
            UNSPLICE => call(arg, |status| splice::stop(&this.splices, status)),
            SPLICE_STATUS => call(arg, |status| splice::status(&this.splices, status)),
            _ => Err(ENOTTY),
        }
    }

    fn poll(this: ArcBorrow<'_, Self>, poller: &Poller<'_>) -> bool {
        let context = &this.context;
        context.writable.poll(poller, &context.account)
    }

    fn fdinfo(this: ArcBorrow<'_, Self>, to: &SeqFile) {
        let context = &this.context;
        let window = context.account.pages(Holder::Window);
        let pool = context.account.pages(Holder::Pool);
        seq_print!(to, "zcio-window-pages:\t{window}\n");
        let leaving = context.account.leaving();
        let allocated = context.account.ever_allocated();
        seq_print!(to, "zcio-pool-pages:\t{pool}\n");
        seq_print!(to, "zcio-pool-leaving:\t{leaving}\n");
        seq_print!(to, "zcio-pool-allocated:\t{allocated}\n");
        print_counters(to, "rx", &context.rx.read());
        print_counters(to, "tx", &context.tx.read());
    }
}

fn print_counters(to: &SeqFile, direction: &str, c: &Counters) {
    seq_print!(to, "zcio-{direction}-calls:\t{}\n", c.calls);
    seq_print!(to, "zcio-{direction}-payloads:\t{}\n", c.payloads);
    seq_print!(to, "zcio-{direction}-mapped:\t{}\n", c.mapped);
    seq_print!(to, "zcio-{direction}-copied:\t{}\n", c.copied);
    for (name, bytes) in WHY_NAMES.iter().zip(c.why) {
        if bytes > 0 {
            seq_print!(to, "zcio-{direction}-copied-{name}:\t{bytes}\n");
        }
    }
}

/// Names of the reasons, in the order of their bits.
const WHY_NAMES: [&str; crate::plan::ownership::WHYS] = [
    "small", "linear", "shared", "cloned", "writable", "file", "kernel", "pinned", "device",
    "elements", "dma",
];

/// Runs a call on a structure of user space. The structure is written back before, to be
/// sure that it can be, and after, also when the call failed: it says what about.
///
/// Should it not be writable any more by then, nothing can be undone. The call returns what
/// it would have, as long as that is the truth: EFAULT only where the count would hide
/// bytes that were moved, or where the structure is all the caller wanted.
fn call<T: InOut>(addr: usize, run: impl FnOnce(&mut T) -> Result<Done>) -> Result<usize> {
    let mut value: T = uapi::read(addr)?;
    value.clear();
    uapi::write(addr, &value)?;
    let result = run(&mut value);
    reached(Point::IoctlRan);
    let told = uapi::write(addr, &value);
    let done = result?;
    if !done.count_says_all {
        told?;
    }
    Ok(done.count)
}

impl Open {
    fn info(&self, info: &mut Info) -> Result<Done> {
        if info.flags != 0 || info.reserved != [0; 6] {
            return Err(EINVAL);
        }
        let (rooms, route) = match info.fd {
            -1 => (Rooms::default(), None),
            fd => {
                let socket = Socket::from_fd(fd)?;
                (transmit::rooms(&socket.kind()?), Route::of(&socket).ok())
            }
        };
        let context = &self.context;
        *info = Info {
            fd: info.fd,
            version: uapi::ABI_VERSION,
            page_size: PAGE_SIZE as u32,
            max_elements: uapi::MAX_ELEMENTS,
            min_region: region::MIN_REGION as u32,
            head_room: rooms.head as u32,
            tail_room: rooms.tail as u32,
            max_window: (window::MAX_PAGES * PAGE_SIZE) as u64,
            max_pool: (pool::MAX_PAGES * PAGE_SIZE) as u64,
            copy_threshold: context.threshold(),
            window_pages: context.account.pages(Holder::Window),
            pool_pages: context.account.pages(Holder::Pool),
            dma_mask: route.and_then(|route| route.mask()).unwrap_or(0),
            pool_leaving: context.account.leaving(),
            total_contexts: all_contexts(),
            total_window_pages: all_pages(Holder::Window),
            total_pool_pages: all_pages(Holder::Pool),
            rx: context.rx.read(),
            tx: context.tx.read(),
            ..Default::default()
        };
        Ok(Done {
            count: 0,
            count_says_all: false,
        })
    }

    /// ERANGE: there is no memory that the device certainly reaches.
    fn target(&self, target: &mut Target) -> Result<Done> {
        if target.flags != 0 || target.reserved != [0; 6] {
            return Err(EINVAL);
        }
        let reach = match target.fd {
            -1 => u64::MAX,
            fd => {
                let socket = Socket::from_fd(fd)?;
                socket.kind()?;
                Route::of(&socket)?.reach()
            }
        };
        target.dma_mask = reach;
        zone(reach).ok_or(ERANGE)?;
        self.context.set_target(reach);
        Ok(Done {
            count: 0,
            count_says_all: false,
        })
    }

    fn tune(&self, tune: Tune) -> Result<usize> {
        if tune.reserved != [0; 7] {
            return Err(EINVAL);
        }
        self.context.set_threshold(tune.copy_threshold);
        Ok(0)
    }
}
