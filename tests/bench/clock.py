# SPDX-License-Identifier: GPL-2.0
"""Whether the guest's clock runs right. It goes by the processor's counter, whose rate an emulated
guest can have measured wrong (by a factor of 36 once); then all times are wrong, and nothing else
shows it. The real-time clock chip is the host's own clock behind emulated registers, so it
cannot be wrong in the same way: its seconds are compared with the guest's."""
import time

CHIP = "/sys/class/rtc/rtc0/since_epoch"
SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
# How long it is looked at before anything is measured: a whole number of the chip's seconds.
SECONDS = 2
# What a busy host delays a look at the chip by, at most; and how wrong the rate may be.
LOOK_SECONDS, TOLERANCE = 0.25, 0.01
# How long the chip's next second is waited for, by the clock that may be wrong.
PATIENCE = 200


class Wrong(Exception):
    """The clock, or that there is nothing to compare it with."""


def chip():
    """The chip's time in whole seconds."""
    try:
        with open(CHIP, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError) as error:
        raise Wrong(f"the guest's clock cannot be compared with its real-time clock chip: {error}") from None


def source():
    """What the guest's clock goes by."""
    try:
        with open(SOURCE, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "?"


def edge(read=chip, now=time.monotonic, pause=time.sleep):
    """Both clocks at the moment when the chip's next second begins: its seconds, and the guest's."""
    first, began = read(), now()
    while now() - began < PATIENCE:
        second = read()
        at = now()
        if second != first:
            return second, at
        pause(0.002)
    raise Wrong(f"the guest's clock went on by {PATIENCE} s while its real-time clock chip stood at {first}")


def judge(begin, end):
    """The guest's seconds by the chip's, between two edges; an exception if they are not the same."""
    by_chip, by_guest = end[0] - begin[0], end[1] - begin[1]
    if by_chip <= 0:
        raise Wrong(f"the real-time clock chip went on by {by_chip} s while the guest's clock did by {by_guest:.1f} s")
    if abs(by_guest - by_chip) > LOOK_SECONDS + TOLERANCE * by_chip:
        raise Wrong(f"the guest's clock ({source()}) is wrong, and so would be all that is measured: it went on by "
                    f"{by_guest:.2f} s in {by_chip} s of the real-time clock chip, which is the host's. It goes by the "
                    "rate of the processor's counter that the kernel was told or has measured; run it again")
    return by_guest / by_chip


def look(pause=time.sleep):
    """The clock before anything is measured; gives the edge from which on it is watched."""
    begin = edge()
    pause(SECONDS - 0.5)
    end = edge()
    judge(begin, end)
    return begin
