# SPDX-License-Identifier: GPL-2.0
"""The splat finder, fed with what kernels really print."""
import unittest

import splat

SPLATS = {
    "oops": """[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000008
[   12.345680] #PF: supervisor read access in kernel mode
[   12.345690] Oops: Oops: 0000 [#1] SMP NOPTI
[   12.345700] CPU: 1 UID: 0 PID: 231 Comm: test Tainted: G           O        7.3.4+deb13-amd64 #1
[   12.345800] ---[ end trace 0000000000000000 ]---""",
    "page fault": "[   3.1] BUG: unable to handle page fault for address: ffffa0d3c4c00000",
    "gpf": "[    9.000001] Oops: general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP",
    "bug_on": "[    9.000001] kernel BUG at mm/usercopy.c:102!",
    "warning": "[   55.100000] WARNING: CPU: 0 PID: 99 at net/ipv4/tcp.c:2680 tcp_recvmsg_locked+0x7a1/0x9d0",
    "warning, new style": "[   55.100000] WARNING: net/core/page_pool.c:1220 at page_pool_unref+0x12/0x40, CPU#1: a/77",
    "kasan": "[   20.0] BUG: KASAN: slab-use-after-free in zc_window_fault+0x1b/0x40 [zcio]",
    "kfence": "[   20.0] BUG: KFENCE: use-after-free read in test+0x1/0x2",
    "lockdep": "[   31.4] WARNING: possible circular locking dependency detected",
    "lockdep, old": "[   31.4] INFO: possible recursive locking detected",
    "rcu usage": "[   31.4] WARNING: suspicious RCU usage",
    "hung task": "[  242.000000] INFO: task zcio:412 blocked for more than 60 seconds.",
    "rcu stall": "[   61.000000] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "rcu stall, other": "[   61.000000] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    "soft lockup": "[   48.000000] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [zcio:200]",
    "hard lockup": "[   48.0] watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "bad page": "[   14.2] BUG: Bad page state in process test  pfn:11a3c0",
    "bad page cache": "[   14.2] BUG: Bad page cache in process test  pfn:11a3c0",
    "bad page map": "[   14.2] BUG: Bad page map in process test  pte:8000000112233867 pmd:01234067",
    "bad rss": "[   15.2] BUG: Bad rss-counter state mm:00000000c0ffee00 type:MM_FILEPAGES val:3",
    "panic": "[   15.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
    "refcount": "[   16.0] refcount_t: underflow; use-after-free.",
    "atomic": "[   17.0] BUG: scheduling while atomic: zcio/311/0x00000002",
    "sleeping": "[   17.0] BUG: sleeping function called from invalid context at include/linux/sched/mm.h:321",
    "netdevice": "[   99.0] unregister_netdevice: waiting for zc1 to become free. Usage count = 3",
    "slub": "[    4.0] BUG kmalloc-64 (Tainted: G    B      O       ): Right Redzone overwritten",
    "list": "[    4.0] list_del corruption. prev->next should be ffff888, but was ffff889. (prev=ffff88)",
    "ubsan": "[    4.0] UBSAN: array-index-out-of-bounds in a.c:3:4",
    "kmemleak": "[  200.0] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "rust": "[    4.0] rust_kernel: panicked at rust/window.rs:12:9:",
    "rust overflow": "[    4.0] rust_kernel: panicked at 'attempt to add with overflow'",
    "oom": "[   70.0] Out of memory: Killed process 512 (test) total-vm:123456kB",
    "allocation": "[   70.0] test: page allocation failure: order:3, mode:0x40cc0(GFP_KERNEL|__GFP_COMP)",
    "kasan, whole": """[   20.0] ==================================================================
[   20.0] BUG: KASAN: slab-use-after-free in _RNvMs_NtCs_4zcio4poolNtB4_4Pool4swap+0x1b/0x40 [zcio]
[   20.0] Read of size 8 at addr ffff888104c3a008 by task failnth/231
[   20.0]
[   20.0] CPU: 1 UID: 0 PID: 231 Comm: failnth Tainted: G           O        7.3.4-debug #1 PREEMPT
[   20.1] Call Trace:
[   20.1]  <TASK>
[   20.1]  dump_stack_lvl+0x6c/0xb0
[   20.1]  kasan_report+0xb8/0xf0
[   20.1]  </TASK>
[   20.1] Allocated by task 231:
[   20.1]  kasan_save_track+0x31/0x70
[   20.1] Freed by task 231:
[   20.1]  kasan_save_free_info+0x3a/0x50""",
    "kasan, pages": "[   20.0] BUG: KASAN: use-after-free in zcio_page_copy+0x41/0x60 [zcio]",
    "kasan, wild": "[   20.0] Oops: general protection fault, probably for non-canonical address "
                   "0xdffffc0000000002: 0000 [#1] SMP KASAN PTI",
    "lock order": """[   31.4] ======================================================
[   31.4] WARNING: possible circular locking dependency detected
[   31.4] 7.3.4-debug #1 Tainted: G           O
[   31.4] ------------------------------------------------------
[   31.4] zcio/311 is trying to acquire lock:
[   31.4] ffff888103f0a2b8 (&mm->mmap_lock){++++}-{4:4}, at: lock_vma_under_rcu+0x10/0x20
[   31.4]
[   31.4] but task is already holding lock:
[   31.4] ffff88810a2e0458 (zcio_pool){+.+.}-{4:4}, at: _RNvMs_NtCs_4zcio4poolNtB4_4Pool4swap+0x5b/0x2f0 [zcio]
[   31.4] which lock already depends on the new lock.""",
    "lock taken twice": "[   31.4] WARNING: possible recursive locking detected",
    "lock in an interrupt": """[   31.4] ================================
[   31.4] WARNING: inconsistent lock state
[   31.4] inconsistent {SOFTIRQ-ON-W} -> {IN-SOFTIRQ-W} usage.""",
    "lock of the wrong kind": "[   31.4] [ BUG: Invalid wait context ]",
    "lock not held": "[   31.4] WARNING: bad unlock balance detected!",
    "lock kept": "[   31.4] WARNING: lock held when returning to user space!",
    "lock freed": "[   31.4] WARNING: held lock freed!",
    "lockdep gave up": "[   31.4] BUG: MAX_LOCKDEP_ENTRIES too low!",
    "lockdep is blind": "[   31.4] INFO: lockdep is turned off.",
    "sleeping, whole": """[   17.0] BUG: sleeping function called from invalid context at kernel/locking/mutex.c:609
[   17.0] in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 311, name: zcio
[   17.0] preempt_count: 1, expected: 0""",
    "rcu in the wrong place": "[   17.0] WARNING: Voluntary context switch within RCU read-side critical section!",
    "page table check": "[   19.0] kernel BUG at mm/page_table_check.c:103!",
    "vm": """[   18.0] page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x10a3c0
[   18.0] page dumped because: VM_BUG_ON_PAGE(page_ref_count(page) == 0)
[   18.0] ------------[ cut here ]------------
[   18.0] kernel BUG at ./include/linux/mm.h:1047!""",
    "vm warning": "[   18.0] WARNING: ./include/linux/rmap.h:215 at vm_insert_pages+0x1a/0x20, CPU#0: zcio/311",
    "page poison": "[   18.0] pagealloc: memory corruption",
    "kmemleak, whole": """[   70.0] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
unreferenced object 0xffff888104c3a000 (size 192):
  comm "failnth", pid 231, jiffies 4294701234
  hex dump (first 32 bytes):
    01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
  backtrace (crc 5f1c1a2):
    kmalloc_node_track_caller_noprof+0x2c7/0x3c0
    _RNvMNtCs_4zcio7contextNtB2_7Context3new+0x3f/0x130 [zcio]""",
    "kmemleak, seen before": "unreferenced object 0xffff888104c3a000 (size 192):",
    "kmemleak is blind": "[   70.0] kmemleak: Kernel memory leak detector disabled",
    "object debugging": "[   18.0] ODEBUG: free active (active state 0) object: ffff8881 object type: timer_list",
    "kunit": "[    3.0]     # zcio_plan: EXPECTATION FAILED at rust/plan/span.rs:72",
    "caller shown": "[    4.000000][  T231] BUG: Bad rss-counter state mm:00000000c0ffee00 type:MM_ANONPAGES val:1",
    "other cpu": "[    4.000000][    C1] WARNING: CPU: 1 PID: 0 at kernel/softirq.c:361 x+0x1/0x2",
}

BENIGN = """[    0.000000] Linux version 7.3.4+deb13-amd64 (debian-kernel@lists.debian.org)
[    0.000000] Command line: console=ttyS0 panic=-1 slub_debug=FZPU
[    0.000000] BIOS-provided physical RAM map:
[    0.010000] ACPI BIOS Warning (bug): Incorrect checksum in table [BGRT] - 0x9B
[    0.100000] rcu: Hierarchical RCU implementation.
[    0.100000] Running RCU self tests
[    0.300000] NMI watchdog disabled (cpu0): hardware events not enabled
[    0.300000] Spectre V2 : Vulnerable
[    0.300001] NMI watchdog: Perf NMI watchdog permanently disabled
[    1.000000] zcio: loading out-of-tree module taints kernel.
[    1.000001] zcio: module verification failed: signature and/or required key missing - tainting kernel
[    0.200000] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    0.200001] ... MAX_LOCKDEP_SUBCLASSES:  8
[    0.300002] kmemleak: Kernel memory leak detector initialized (mem pool available: 38654)
[    0.300003] debug_vm_pgtable: [debug_vm_pgtable         ]: Validating architecture page table helpers
[    1.500000] FAULT_INJECTION: forcing a failure.
[    1.500001] name failslab, interval 1, probability 0, space 0, times 0
[    1.600000]     ok 1 zcio_plan
[    2.000000] zcio-rig: test bad_page_input: BUGs are not wanted here
[    3.000000] e1000e 0000:00:05.0 zc0: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: Rx/Tx
"""


class Scan(unittest.TestCase):
    def test_each_kind_is_found_once(self):
        for name, text in SPLATS.items():
            with self.subTest(name):
                found = splat.scan((BENIGN + text + "\n").splitlines())
                self.assertEqual(len(found), 1, found)
                self.assertIn(found[0][0], text)

    def test_quiet_log(self):
        self.assertEqual(splat.scan(BENIGN.splitlines()), [])

    def test_a_splat_ends_at_its_end_mark(self):
        found = splat.scan((SPLATS["oops"] + "\n" + SPLATS["bad rss"]).splitlines())
        self.assertEqual([len(s) for s in found], [5, 1])

    def test_carriage_returns_of_a_serial_line(self):
        found = splat.scan([SPLATS["refcount"] + "\r\n"])
        self.assertEqual(found, [["refcount_t: underflow; use-after-free."]])

    def test_show_is_short(self):
        text = splat.show([["a"] * 30], lines=4)
        self.assertEqual(text.count("\n"), 4)
        self.assertIn("26 more lines", text)


if __name__ == "__main__":
    unittest.main()
