# SPDX-License-Identifier: GPL-2.0
"""What programs that measure in the guest do there: the drivers' own work apart from theirs, and
what the guest's processor is told to be able to do."""
import os
import re
import subprocess

# With this parameter the kernel looks after what comes over veth and lo in threads, one a processor.
BACKLOG_THREADS = "thread_backlog_napi"


def drivers_apart():
    """Lets the drivers' own work run in threads of its own (threaded NAPI), so that it is not
    charged to whichever program happens to run; gives whether that worked."""
    peer = os.environ.get("ZCIO_PEER_EXEC", "").split()
    results = [subprocess.run([*where, "sh", "-c", f"echo 1 >/sys/class/net/{device}/threaded"],
                              stderr=subprocess.DEVNULL, check=False).returncode
               for where, device in (([], "zc0"), (peer, "zc1"))]
    return not any(results)


def threads_of(device):
    """The threads that look after a device."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read().startswith(f"napi/{device}-"):
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def interrupts_of(device, text):
    """Their numbers; `text` of /proc/interrupts."""
    return [line.split(":")[0].strip() for line in text.splitlines() if re.search(rf"\s{device}\b", line)]


def mask_of(processors):
    """As the kernel writes sets of them."""
    return f"{sum(1 << number for number in processors):x}"


def bind_device(where, device, processors):
    """Lets only these look after what comes to a device, and never in an interrupt; gives whether that worked."""
    threads = threads_of(device)
    for pid in threads:
        os.sched_setaffinity(pid, processors)
    with open("/proc/interrupts", encoding="utf-8") as file:
        numbers = interrupts_of(device, file.read())
    for number in numbers:
        with open(f"/proc/irq/{number}/smp_affinity_list", "w", encoding="ascii") as file:
            file.write(",".join(map(str, processors)))
    if threads:
        return True
    steer = f"for q in /sys/class/net/{device}/queues/rx-*; do echo {mask_of(processors)} >$q/rps_cpus || exit; done"
    done = subprocess.run([*where, "sh", "-c", steer], stderr=subprocess.DEVNULL, check=False)
    with open("/proc/cmdline", encoding="utf-8") as file:
        return done.returncode == 0 and BACKLOG_THREADS in file.read().split()


def sides_apart():
    """Keeps the network's work of this side and of the peer's apart: this side's on processor 0, the
    peer's on the others; on one processor, in threads that can be told from each other. Gives whether
    it is so; never over lo, which is one device for both."""
    if os.environ.get("ZCIO_NIC") == "lo":
        return False
    drivers_apart()
    processors = os.cpu_count()
    if processors == 1:
        return bool(threads_of("zc1"))
    peer = os.environ.get("ZCIO_PEER_EXEC", "").split()
    sides = (([], "zc0", {0}), (peer, "zc1", set(range(1, processors))))
    done = [bind_device(*side) for side in sides]
    return all(done)


def cpuinfo():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return file.read()


def cpu_flags(names, text=None):
    """Which of these features the processor has; `text` of /proc/cpuinfo."""
    flags = re.search(r"^flags\s*: (.*)", text or cpuinfo(), re.M)[1].split()
    return {name: name in flags for name in names}


def flags_text(flags):
    return " ".join(f"{name}={'on' if there else 'off'}" for name, there in flags.items())
