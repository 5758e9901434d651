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
    "kasan, whole": """[   13.680795] ==================================================================
[   13.681256] BUG: KASAN: slab-use-after-free in init_module+0x1ac/0x1000 [planted]
[   13.681537] Read of size 1 at addr ffff88800fc5ac05 by task insmod/90
[   13.681619]
[   13.682670] CPU: 0 UID: 0 PID: 90 Comm: insmod Tainted: G           O     N  7.3.4-debug #1 PREEMPT
[   13.682986] Tainted: [O]=OOT_MODULE, [N]=TEST
[   13.683226] Call Trace:
[   13.683326]  <TASK>
[   13.683510]  dump_stack_lvl+0x6d/0x90
[   13.683638]  print_report+0x171/0x720
[   13.683665]  ? __virt_addr_valid+0x144/0x370
[   13.683692]  ? __virt_addr_valid+0x2de/0x370
[   13.683721]  ? init_module+0x1ac/0x1000 [planted]
[   13.683753]  ? kasan_complete_mode_report_info+0x75/0x230
[   13.683783]  ? init_module+0x1ac/0x1000 [planted]
[   13.683808]  kasan_report+0xfa/0x130
[   13.683835]  ? init_module+0x1ac/0x1000 [planted]
[   13.683925]  __asan_report_load1_noabort+0x18/0x20
[   13.683951]  init_module+0x1ac/0x1000 [planted]
[   13.683978]  ? cleanup_module+0xfa0/0xfa0 [planted]
[   13.684010]  do_one_initcall+0x105/0x260
[   13.684041]  ? kasan_save_track+0x2f/0x70
[   13.684069]  ? __kasan_kmalloc+0x79/0x90
[   13.684086]  ? __kmalloc_cache_noprof+0x2ad/0x3e0
[   13.684108]  ? do_init_module+0x57/0x6c0
[   13.684130]  ? load_module+0x45ad/0x4bb0
[   13.684149]  ? __x64_sys_finit_module+0x3ad/0x5a0
[   13.684170]  ? x64_sys_call+0x9c1/0x1ec0
[   13.684191]  ? do_syscall_64+0x94/0x2a0
[   13.684213]  ? entry_SYSCALL_64_after_hwframe+0x4b/0x53
[   13.684239]  ? __lock_acquire+0x58c/0x2840
[   13.684278]  ? trace_hardirqs_on+0x63/0x80
[   13.684302]  ? _raw_spin_unlock_irqrestore+0x38/0x50
[   13.684329]  ? stack_depot_save_flags+0x6b4/0x7c0
[   13.684380]  ? lock_acquire+0xe2/0x1a0
[   13.684402]  ? __create_object+0x3d/0x110
[   13.684448]  ? trace_hardirqs_on+0x63/0x80
[   13.684475]  ? kasan_save_alloc_info+0x40/0x50
[   13.684500]  ? __kasan_kmalloc+0x79/0x90
[   13.684527]  ? __kmalloc_cache_noprof+0x2ad/0x3e0
[   13.684547]  ? kasan_unpoison+0x4c/0x70""",
    "kasan, pages": "[   20.0] BUG: KASAN: use-after-free in zcio_page_copy+0x41/0x60 [zcio]",
    "kasan, wild": "[   20.0] Oops: general protection fault, probably for non-canonical address "
                   "0xdffffc0000000002: 0000 [#1] SMP KASAN PTI",
    "lock order": """[   14.070541] ======================================================
[   14.070759] WARNING: possible circular locking dependency detected
[   14.071509] 7.3.4-debug #1 Tainted: G           O     N
[   14.071820] ------------------------------------------------------
[   14.072017] insmod/90 is trying to acquire lock:
[   14.072206] ffffffffa0201080 (a){+.+.}-{4:4}, at: init_module+0xb4/0x1000 [planted]
[   14.072967]
[   14.072967] but task is already holding lock:
[   14.073167] ffffffffa0201140 (b){+.+.}-{4:4}, at: init_module+0xa6/0x1000 [planted]
[   14.073467]
[   14.073467] which lock already depends on the new lock.
[   14.073467]
[   14.074675]
[   14.074675] the existing dependency chain (in reverse order) is:
[   14.074960]
[   14.074960] -> #1 (b){+.+.}-{4:4}:
[   14.075321]        __mutex_lock+0xdd/0x1c40
[   14.075647]        mutex_lock_nested+0x1f/0x30
[   14.075806]        init_module+0x80/0x1000 [planted]
[   14.075982]        do_one_initcall+0x105/0x260
[   14.076131]        do_init_module+0x21e/0x6c0
[   14.076277]        load_module+0x45ad/0x4bb0
[   14.076416]        __x64_sys_finit_module+0x3ad/0x5a0
[   14.076574]        x64_sys_call+0x9c1/0x1ec0
[   14.076711]        do_syscall_64+0x94/0x2a0
[   14.076856]        entry_SYSCALL_64_after_hwframe+0x4b/0x53
[   14.077081]
[   14.077081] -> #0 (a){+.+.}-{4:4}:
[   14.077305]        __lock_acquire+0x14dc/0x2840
[   14.077461]        lock_acquire+0xe2/0x1a0
[   14.077597]        __mutex_lock+0xdd/0x1c40
[   14.077990]        mutex_lock_nested+0x1f/0x30
[   14.078139]        init_module+0xb4/0x1000 [planted]
[   14.078306]        do_one_initcall+0x105/0x260
[   14.078452]        do_init_module+0x21e/0x6c0
[   14.078609]        load_module+0x45ad/0x4bb0
[   14.078755]        __x64_sys_finit_module+0x3ad/0x5a0
[   14.078917]        x64_sys_call+0x9c1/0x1ec0
[   14.079061]        do_syscall_64+0x94/0x2a0
[   14.079195]        entry_SYSCALL_64_after_hwframe+0x4b/0x53
[   14.079382]""",
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
    "sleeping, whole": """[   13.698306] BUG: sleeping function called from invalid context at kernel/locking/mutex.c:623
[   13.698476] in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 90, name: insmod
[   13.698515] preempt_count: 1, expected: 0
[   13.698549] RCU nest depth: 0, expected: 0
[   13.698631] locks held by insmod/90: 1, last CPU#1:
[   13.698670]  #0: ffffffffa02011b8 (s){+.+.}-{3:3}, at: init_module+0x13c/0x1000 [planted]""",
    "rcu in the wrong place": "[   17.0] WARNING: Voluntary context switch within RCU read-side critical section!",
    "page table check": "[   19.0] kernel BUG at mm/page_table_check.c:103!",
    "vm": """[   18.0] page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x10a3c0
[   18.0] page dumped because: VM_BUG_ON_PAGE(page_ref_count(page) == 0)
[   18.0] ------------[ cut here ]------------
[   18.0] kernel BUG at ./include/linux/mm.h:1047!""",
    "vm warning": "[   18.0] WARNING: ./include/linux/rmap.h:215 at vm_insert_pages+0x1a/0x20, CPU#0: zcio/311",
    "page poison": "[   18.0] pagealloc: memory corruption",
    "kmemleak, whole": """[   46.274144] kmemleak: 4 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
unreferenced object 0xffff888010243800 (size 1024):
  comm "insmod", pid 90, jiffies 4294895738
  hex dump (first 32 bytes):
    aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa  ................
    aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa  ................
  backtrace (crc b8d9b0d7):
    kmemleak_alloc+0x2c/0x30
    __kmalloc_cache_noprof+0x266/0x3e0
    0xffffffffa0401109
    do_one_initcall+0x105/0x260
    do_init_module+0x21e/0x6c0
    load_module+0x45ad/0x4bb0
    __x64_sys_finit_module+0x3ad/0x5a0
    x64_sys_call+0x9c1/0x1ec0
    do_syscall_64+0x94/0x2a0""",
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

OOM = """[   26.058780] python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
[   26.062622] Call Trace:
[   26.065131]  __mem_cgroup_charge+0x2c/0x80
[   26.065825]  </TASK>
[   26.073683] Memory cgroup stats for /zcio-oom:
""" + "[   26.074712] inactive_anon 4210688\n" * 80 + """\
[   26.080254] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
oom_memcg=/zcio-oom,task_memcg=/zcio-oom,task=python3,pid=152,uid=0
[   26.085284] Memory cgroup out of memory: Killed process 152 (python3) total-vm:76724kB
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

    def test_a_kill_in_the_cgroup_made_for_it(self):
        self.assertEqual(splat.scan(OOM.splitlines()), [])
        found = splat.scan((OOM + SPLATS["bad rss"]).splitlines())
        self.assertEqual(len(found), 1)
        self.assertIn(found[0][0], SPLATS["bad rss"])

    def test_a_kill_elsewhere(self):
        for was, now in (("oom_memcg=/zcio-oom,", "oom_memcg=/zcio-oom2,"), ("oom_memcg=/zcio-oom,", "oom_memcg=/,"),
                         ("CONSTRAINT_MEMCG", "CONSTRAINT_NONE"), ("oom-kill:", "")):
            found = splat.scan(OOM.replace(was, now).splitlines())
            self.assertIn("invoked oom-killer", found[0][0])

    def test_carriage_returns_of_a_serial_line(self):
        found = splat.scan([SPLATS["refcount"] + "\r\n"])
        self.assertEqual(found, [["refcount_t: underflow; use-after-free."]])

    def test_show_is_short(self):
        text = splat.show([["a"] * 30], lines=4)
        self.assertEqual(text.count("\n"), 4)
        self.assertIn("26 more lines", text)


if __name__ == "__main__":
    unittest.main()
