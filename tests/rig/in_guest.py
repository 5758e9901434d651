# SPDX-License-Identifier: GPL-2.0
"""What programs that measure in the guest do there: the drivers' own work apart from theirs, and
what the guest's processor is told to be able to do."""
import os
import re
import subprocess


def drivers_apart():
    """Lets the drivers' own work run in threads of its own (threaded NAPI), so that it is not
    charged to whichever program happens to run; gives whether that worked."""
    peer = os.environ.get("ZCIO_PEER_EXEC", "").split()
    results = [subprocess.run([*where, "sh", "-c", f"echo 1 >/sys/class/net/{device}/threaded"],
                              stderr=subprocess.DEVNULL, check=False).returncode
               for where, device in (([], "zc0"), (peer, "zc1"))]
    return not any(results)


def cpuinfo():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return file.read()


def cpu_flags(names, text=None):
    """Which of these features the processor has; `text` of /proc/cpuinfo."""
    flags = re.search(r"^flags\s*: (.*)", text or cpuinfo(), re.M)[1].split()
    return {name: name in flags for name in names}


def flags_text(flags):
    return " ".join(f"{name}={'on' if there else 'off'}" for name, there in flags.items())
