# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of one way of doing a job go. In a guest whose clock counts instructions
(accelerator icount of tests/rig/qemu.py) bpftrace looks at the measured process at equal distances,
so each look stands for as many of them; of a relay, at all of its side of the guest. Prints a table in
Markdown.

    python3 instructions.py JOB WAY [--size BYTES] [--bytes BYTES] [--functions N] [MORE FOR zcio-bench…]"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.environ.get("ZCIO_TOP") or os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "rig"))

import in_guest  # noqa: E402
import plan  # noqa: E402

BENCH = os.path.join(TOP, "build", "bench", "zcio-bench")
# Looks in a second of the guest's: one in 200,020 instructions. No round number, to meet nothing periodic.
HZ = 4999
PROGRAM = """
uprobe:@BENCH@:bench_start { @on = 1; }
uprobe:@BENCH@:bench_stop { @on = 0; }
profile:hz:@HZ@ /@on && @WHOM@/ { @looks[kstack(60)] = count(); @who[comm] = count(); }
"""
WHOM = "pid == cpid"
# Neither source and sink, which are zcio-bench too, nor their card's thread.
WHOM_RELAY = 'pid != 0 && (pid == cpid || comm != "zcio-bench") && comm != "bpftrace" && ' \
    'strncmp(comm, "napi/zc1-", 9) != 0'
# The part that a look counts for: the first that any function on the stack belongs to.
PARTS = [
    ("drivers, and the other end's packets (softirq)", r"handle_softirqs|__do_softirq"),
    ("page tables: taking out", r"zap_|tlb_finish_mmu|do_madvise|unmap_page_range"),
    ("page tables: putting in", r"insert_pages|vm_insert_page"),
    ("page faults", r"exc_page_fault|handle_mm_fault"),
    ("copying", r"memcpy|_copy_to_iter|_copy_from_iter|rep_movs|copy_user|skb_copy_"),
    ("clearing pages, and parts of them", r"clear_page|memset"),
    ("sending packets", r"tcp_write_xmit|__tcp_transmit_skb|ip_send_skb|dev_queue_xmit|__dev_direct_xmit"),
    ("finding pages in place", r"gup_fast|get_user_pages"),
    ("allocating and freeing", r"k(v?)(re|m|z)alloc|kfree|kmem_cache|alloc_pages|free_frozen|folios_put"),
    ("zcio's own decisions", r"zcio|segments"),
    ("the rest of the call: the socket, the security hooks, entry and exit", r""),
]
# Of a relay: from a packet's coming to its leaving, the innermost first.
RELAY_PARTS = [
    ("sending: the card's driver and its queue", r"__dev_queue_xmit|net_tx_action"),
    ("receiving: acknowledgements that leave", r"__tcp_send_ack|tcp_ack_snd_check"),
    ("sending: packets of TCP, UDP and IP", r"tcp_write_xmit|tcp_push_one|udp_send_skb|ip_send_skb"),
    ("copying", r"memcpy|_copy_to_iter|_copy_from_iter|rep_movs|copy_user|skb_copy_"),
    ("sending: taking over what is to be sent", r"tcp_sendmsg_locked|udp_sendmsg|ip_make_skb"),
    ("receiving: TCP, UDP and IP", r"ip_rcv|ip_sublist_rcv|ip_list_rcv|tcp_v4_|udp_queue_rcv|__udp4_lib_rcv"),
    ("receiving: the card's driver, joining packets", r"napi_gro|napi_poll|napi_threaded_poll|process_backlog"),
    ("zcio's own decisions", r"zcio"),
    ("system calls: the rest", r"entry_SYSCALL|do_syscall"),
    ("works: the rest", r"worker_thread|process_one_work"),
    ("the rest", r""),
]
USER = "the application"


def looks_of(text):
    """Of what bpftrace printed: each stack, innermost function first, and how often it was seen."""
    for match in re.finditer(r"^@looks\[(.*?)\]: (\d+)$", text, re.M | re.S):
        yield [line.strip().split("+")[0] for line in match[1].splitlines() if line.strip()], int(match[2])


def threads_of(text):
    """How many looks fell on threads of a name, those of one kind together, most first."""
    found = collections.Counter()
    for match in re.finditer(r"^@who\[(.*?)\]: (\d+)$", text, re.M):
        found[re.match(r"[^0-9]*[^0-9/:-]", match[1])[0]] += int(match[2])
    return found.most_common()


def part_of(stack, kinds=None):
    if not stack:
        return USER
    return next(name for name, pattern in kinds or PARTS if any(re.search(pattern, function) for function in stack))


def parts(looks, kinds=None):
    """How many looks fell on each part, most first."""
    found = collections.Counter()
    for stack, times in looks:
        found[part_of(stack, kinds)] += times
    return found.most_common()


def functions(looks):
    """On how many looks each function was on the stack, most first."""
    found = collections.Counter()
    for stack, times in looks:
        found.update(dict.fromkeys(set(stack), times))
    return found.most_common()


def table(rows, total, per_mb, head):
    yield f"| {head} | % | thousand instructions/MB |"
    yield "| --- | ---: | ---: |"
    for name, times in rows:
        yield f"| {name} | {100 * times / total:.0f} | {per_mb * times / total:.0f} |"


def measure(command, whom):
    """The run's result, and what bpftrace printed behind it."""
    with tempfile.NamedTemporaryFile("w", suffix=".bt") as program:
        program.write(PROGRAM.replace("@BENCH@", BENCH).replace("@HZ@", str(HZ)).replace("@WHOM@", whom))
        program.flush()
        done = subprocess.run(["bpftrace", "-q", program.name, "-c", " ".join(command)], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "BPFTRACE_MAX_MAP_KEYS": "65536"})
    results = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not results:
        sys.exit(f"bpftrace or zcio-bench failed, status {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(results[-1]), done.stdout


def main():
    parser = argparse.ArgumentParser(description="Where the instructions of one way of doing a job go.")
    parser.add_argument("job")
    parser.add_argument("way")
    parser.add_argument("--size", type=int, default=65536, help="bytes of one request (65536)")
    parser.add_argument("--bytes", type=int, default=128 << 20, help="bytes in all (128 MiB)")
    parser.add_argument("--functions", type=int, default=0, help="list so many functions, too")
    args, more = parser.parse_known_args()
    if os.environ.get("ZCIO_ACCEL") != "icount":
        sys.exit("this guest's clock does not count instructions: run it by 'make bench-instructions'")
    relay = args.job in plan.RELAY_JOBS
    if relay and not in_guest.sides_apart():
        sys.exit("the relay's side cannot be told from the other's on this network")
    in_guest.drivers_apart()
    result, text = measure([BENCH, args.job, args.way, "--size", str(args.size), "--bytes", str(args.bytes),
                            *(["--apart"] if relay else []), *more], WHOM_RELAY if relay else WHOM)
    if "unable" in result:
        sys.exit(f"{args.way} cannot be gone here: {result['unable']}")
    looks = list(looks_of(text))
    total = sum(times for _, times in looks)
    if not total:
        sys.exit("nothing was seen: move more bytes (--bytes)")
    per_mb = result.get("side_ns", (result["user_us"] + result["system_us"]) * 1000) * 1000 / result["bytes"]
    print(f"{args.job} by {args.way}, {args.size} bytes, {os.environ.get('ZCIO_NIC')} {os.environ.get('ZCIO_MTU')}, "
          f"Linux {os.uname().release}: {per_mb:.0f} thousand instructions/MB, {total} looks\n")
    print("\n".join(table(parts(looks, RELAY_PARTS if relay else PARTS), total, per_mb, "part")))
    if relay:
        print("\n" + "\n".join(table(threads_of(text), total, per_mb, "thread")))
    if args.functions:
        print("\n" + "\n".join(table(functions(looks)[:args.functions], total, per_mb, "function, with what it calls")))


if __name__ == "__main__":
    main()
