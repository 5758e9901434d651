// SPDX-License-Identifier: GPL-2.0
//! Running one program: in a process of its own, which may die of it, and with a look
//! afterwards at whether the module is as it was.

use crate::abi;
use crate::kcov::Kcov;
use crate::layout::PAGE;
use crate::memory;
use crate::program::{Program, THREADS};
use crate::shared::VIOLATION;
use crate::sys;
use crate::timer;
use crate::world::{become_nobody, limit_memlock, Env, World};
use std::os::fd::RawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How a program ended that found nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Done,
    /// By a signal that is part of the program.
    Killed,
    /// It took too long and was killed.
    Late,
}

pub struct Executor {
    pub env: Env,
    pub kcov: Option<Kcov>,
    device: RawFd,
    /// Everything takes longer on the debug kernel.
    pub patience: u32,
}

/// What a program may take before it is killed.
const LATE: Duration = Duration::from_secs(4);
/// What the kernel may take to end a process that was killed, and to give all back.
const HUNG: Duration = Duration::from_secs(15);
/// The limit, in pages, of the user whose account is looked at.
const ACCOUNT: u32 = 64;

impl Executor {
    pub fn new() -> Result<Self, String> {
        let device = sys::open("/dev/zcio", libc::O_RDWR);
        if device < 0 {
            return Err("cannot open /dev/zcio: is the module loaded?".into());
        }
        // SAFETY: Children of children come to us when their parent dies.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let debug = std::env::var("ZCIO_KERNEL").is_ok_and(|v| v.ends_with("-debug"));
        Ok(Self { env: Env::new(), kcov: Kcov::new(), device, patience: if debug { 4 } else { 1 } })
    }

    /// Runs a program; an error is a finding.
    pub fn run(&self, program: &Program) -> Result<End, String> {
        self.env.shared.reset();
        if let Some(kcov) = &self.kcov {
            kcov.clear();
        }
        // SAFETY: This process has one thread, so the child may do anything.
        let child = unsafe { libc::fork() };
        if child < 0 {
            return Err(format!("fork: errno {}", sys::errno()));
        }
        if child == 0 {
            self.child(program);
        }
        let status = self.wait(child);
        self.end_group(child, program)?;
        if let Some(text) = self.env.shared.verdict() {
            return Err(text);
        }
        self.at_rest()?;
        let Some(status) = status else { return Ok(End::Late) };
        if libc::WIFSIGNALED(status) {
            return match libc::WTERMSIG(status) {
                // By its own hand; by its own signals where exec() took the handlers away.
                libc::SIGKILL | libc::SIGPIPE | libc::SIGUSR1 | libc::SIGUSR2 => Ok(End::Killed),
                signal => Err(format!("the program died of signal {signal} while {}", self.doing(program))),
            };
        }
        match libc::WEXITSTATUS(status) {
            0 => Ok(End::Done),
            VIOLATION => Err("a violation without a text".into()),
            other => Err(format!("the program ended with status {other}")),
        }
    }

    fn child(&self, program: &Program) -> ! {
        // SAFETY: Calls that concern this process only.
        unsafe {
            libc::setpgid(0, 0);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        memory::catch_faults();
        timer::install_handlers();
        timer::create();
        let kcov = self.kcov.as_ref();
        if let Some(kcov) = kcov {
            kcov.enable(THREADS);
        }
        let world = World::new(&self.env, program);
        let steps = program.phases.iter().flat_map(|p| &p.steps);
        let threads = steps.map(|s| s.thread as usize % THREADS + 1).max().unwrap_or(0);
        let barrier = Barrier::new(threads.max(1));
        std::thread::scope(|scope| {
            for me in 0..threads {
                let (world, barrier) = (&world, &barrier);
                scope.spawn(move || {
                    if let Some(kcov) = kcov {
                        kcov.enable(me);
                    }
                    thread(world, program, me, barrier);
                    if let Some(kcov) = kcov {
                        kcov.disable(me);
                    }
                });
            }
        });
        world.drain();
        // SAFETY: Ends the process with all it has.
        unsafe { libc::_exit(0) }
    }

    /// The child's status, or `None` if it took too long.
    fn wait(&self, child: i32) -> Option<i32> {
        // SAFETY: A child of ours that nobody has waited for yet.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) } as RawFd;
        let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
        let mut status = 0;
        let late = (LATE * self.patience).as_millis() as i32;
        // SAFETY: As above.
        unsafe {
            let ended = libc::poll(&mut poll, 1, late) > 0;
            libc::close(pidfd);
            (ended && libc::waitpid(child, &mut status, 0) == child).then_some(status)
        }
    }

    /// Kills what is left of a program. What cannot be killed hangs in the kernel.
    fn end_group(&self, group: i32, program: &Program) -> Result<(), String> {
        let start = Instant::now();
        // SAFETY: The program's processes, and no other children.
        unsafe {
            libc::kill(-group, libc::SIGKILL);
            loop {
                match libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) {
                    -1 => return Ok(()),
                    0 if start.elapsed() > HUNG * self.patience => break,
                    0 => std::thread::sleep(Duration::from_micros(500)),
                    _ => {}
                }
            }
        }
        let _ = std::fs::write("/proc/sysrq-trigger", "w");
        let _ = std::fs::write("/proc/sysrq-trigger", "l");
        Err(format!("hangs: a killed program does not end; it is {}", self.doing(program)))
    }

    /// What the program's threads were about.
    fn doing(&self, program: &Program) -> String {
        let steps: Vec<_> = program.phases.iter().flat_map(|p| &p.steps).collect();
        let name = |at: u32| at.checked_sub(1).and_then(|at| steps.get(at as usize)).map(|s| s.op.name());
        let names: Vec<_> = self.env.shared.doing.iter().filter_map(|d| name(d.load(Relaxed))).collect();
        format!("doing {}", names.join(", "))
    }

    /// The module holds nothing but our own context any more.
    fn at_rest(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let mut info = abi::Info { fd: -1, ..Default::default() };
            // SAFETY: The structure is the interface's.
            if unsafe { libc::ioctl(self.device, abi::IOC_INFO as libc::Ioctl, &mut info) } != 0 {
                return Err(format!("INFO fails with errno {}", sys::errno()));
            }
            let left = (info.total_contexts, info.total_window_pages, info.total_pool_pages);
            if left == (1, 0, 0) {
                return Ok(());
            }
            if start.elapsed() > HUNG * self.patience {
                return Err(format!(
                    "left behind: {} contexts, {} window pages, {} pool pages",
                    left.0 as i64 - 1,
                    left.1 as i64,
                    left.2 as i64
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The account of the user that programs run as is at zero again: a pool of just his
    /// limit can be had, and not a page more.
    pub fn account(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            // SAFETY: The child only makes system calls.
            let child = unsafe { libc::fork() };
            if child == 0 {
                become_nobody();
                limit_memlock(ACCOUNT);
                let device = sys::open("/dev/zcio", libc::O_RDWR);
                let good = [pool(device, ACCOUNT), !pool(device, 1)];
                // SAFETY: Ends the child.
                unsafe { libc::_exit(i32::from(!good[0]) + 2 * i32::from(!good[1])) };
            }
            let mut status = 0;
            // SAFETY: A child of ours.
            unsafe { libc::waitpid(child, &mut status, 0) };
            match libc::WEXITSTATUS(status) {
                0 => return Ok(()),
                // MSG_ZEROCOPY charges the same account until the last packet is gone.
                1 if start.elapsed() < HUNG * self.patience => std::thread::sleep(Duration::from_millis(5)),
                1 => return Err("account: the user's locked memory did not come back to zero".into()),
                _ => return Err("account: the user has more than RLIMIT_MEMLOCK".into()),
            }
        }
    }
}

fn pool(device: RawFd, pages: u32) -> bool {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: A mapping of its own.
    let at = unsafe {
        libc::mmap(std::ptr::null_mut(), pages as usize * PAGE, prot, libc::MAP_SHARED, device, abi::MMAP_POOL)
    };
    at != libc::MAP_FAILED
}

/// One thread's part of all phases.
fn thread(world: &World<'_>, program: &Program, me: usize, barrier: &Barrier) {
    // SAFETY: No arguments.
    world.threads[me].store(unsafe { libc::gettid() }, Relaxed);
    timer::create();
    let mut first = 1;
    for phase in &program.phases {
        barrier.wait();
        for _ in 0..phase.repeat {
            for (i, step) in phase.steps.iter().enumerate() {
                if step.thread as usize % THREADS == me {
                    world.shared.doing[me].store(first + i as u32, Relaxed);
                    world.operate(&step.op);
                }
            }
        }
        first += phase.steps.len() as u32;
    }
}
