# SPDX-License-Identifier: GPL-2.0
"""How fast this machine's time stamp counter runs, which an emulated guest's clock goes by.

The guest would measure that itself as it boots. Where the emulator is held up meanwhile, it
gets it wrong (by a factor of 36 once): its clock runs wrong then, and time-outs strike."""
import ctypes
import mmap
import platform
import time

# rdtsc; shl rdx, 32; or rax, rdx; ret
CODE = bytes.fromhex("0f31 48c1e220 4809d0 c3")


def khz(seconds=0.05):
    """Thousands of ticks a second; None on a machine that has no such counter."""
    if platform.machine() != "x86_64":
        return None
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(CODE)
    ticks = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    time_before, ticks_before = both(ticks)
    time.sleep(seconds)
    time_after, ticks_after = both(ticks)
    return round((ticks_after - ticks_before) * 1e6 / (time_after - time_before))


def both(ticks):
    """Nanoseconds and ticks of one moment: of several tries, the one least interrupted."""
    tries = []
    for _ in range(20):
        before = time.monotonic_ns()
        count = ticks()
        after = time.monotonic_ns()
        tries.append((after - before, (before + after) / 2, count))
    return min(tries)[1:]
