#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boot the stock kernel in QEMU, run one command in it, pass on what it says.

Runs inside the rig's root (see tests/rig/guest for the way in). Exit status:
the command's own; 120 the guest could not be made ready; 124 it hung; 125 it
was lost (crashed or switched itself off); 99 the command was content but the
kernel's log shows a splat.
"""
import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
import tty

import qemu
import splat

BROKEN, HUNG, LOST, SPLAT = 120, 124, 125, 99
# An emulated kernel hangs, once in a great while, before it has come as far as to its first
# process: nothing of ours runs yet. Such a boot is begun anew, once.
BOOT_SECONDS = 300


def setting(name, default=""):
    return os.environ.get("ZCIO_" + name) or default


def write_env(run, config):
    """The guest's side of the configuration: a file for the shell."""
    path = os.path.join(run, "guest.env")
    with open(path, "w", encoding="utf-8") as file:
        for key, value in config.items():
            file.write(f"ZCIO_{key}={shlex.quote(str(value))}\n")


def dependencies(module):
    """The stock kernel's modules that the module needs."""
    if not module:
        return ""
    answer = subprocess.run(["modinfo", "-F", "depends", module], check=False, capture_output=True, text=True)
    return answer.stdout.strip().replace(",", " ")


class Guest:
    """A running guest: its process and the sockets to its ports."""

    def __init__(self, config, run):
        self.run = run
        self.status = None
        self.broken = None
        self.ready = None
        self.panicked = None
        self.start = time.monotonic()
        self.ports = {}
        fds = {}
        names = ["console", "out", "err", "ctl", "qmp"] + (["tty"] if config["INTERACTIVE"] else [])
        for name in names:
            ours, theirs = socket.socketpair()
            self.ports[name] = ours
            fds[name] = theirs
        command = qemu.command(config, run, {k: s.fileno() for k, s in fds.items()})
        with open(os.path.join(run, "qemu.cmd"), "w", encoding="utf-8") as file:
            file.write(shlex.join(command) + "\n")
        # The guest must not outlive this program, however it ends.
        with open(os.path.join(run, "qemu.log"), "wb") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + command,
                                            stdin=subprocess.DEVNULL, stderr=log,
                                            pass_fds=[s.fileno() for s in fds.values()])
        for sock in fds.values():
            sock.close()
        self.console = open(os.path.join(run, "console.log"), "wb", buffering=0)
        self.partial = b""

    def control(self, data):
        self.partial += data
        *lines, self.partial = self.partial.split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "exit":
                self.status = int(rest)
            elif word == "ready":
                self.ready = time.monotonic() - self.start
            elif word == "broken":
                self.broken = rest

    def ask_for_tasks(self):
        """By serial break and sysrq: what every task and processor is doing."""
        qmp = self.ports["qmp"]
        for key in b"wl":
            try:
                qmp.sendall(b'{"execute":"qmp_capabilities"}\n'
                            b'{"execute":"chardev-send-break","arguments":{"id":"console"}}\n')
                time.sleep(0.3)
                self.ports["console"].sendall(bytes([key]))
            except OSError:
                return
            self.pump(time.monotonic() + 3)

    def hangs_in_boot(self):
        """Whether it has not come to be ready, nor to say why not, in the time that has."""
        return not (self.ready or self.broken or self.panicked or not self.ports) and \
            time.monotonic() > self.start + BOOT_SECONDS

    def pump(self, deadline):
        """Move bytes until the guest is gone, hangs in its boot, or the deadline has passed."""
        with selectors.DefaultSelector() as selector:
            for name, sock in self.ports.items():
                selector.register(sock, selectors.EVENT_READ, name)
            if "tty" in self.ports:
                selector.register(0, selectors.EVENT_READ, "stdin")
            while self.ports and time.monotonic() < deadline:
                for key, _ in selector.select(min(1.0, max(0.0, deadline - time.monotonic()))):
                    if not self.move(key.data):
                        selector.unregister(key.fileobj)
                        self.ports.pop(key.data, None)
                if self.panicked and time.monotonic() > self.panicked + 15:
                    return True
                if self.hangs_in_boot():
                    return False
        return not self.ports

    def move(self, name):
        """One read from a port; False at its end."""
        try:
            data = os.read(0, 4096) if name == "stdin" else self.ports[name].recv(65536)
        except OSError:
            data = b""
        if not data:
            return False
        if name == "console":
            self.console.write(data)
            if b"Kernel panic" in data:
                self.panicked = time.monotonic()
        elif name in ("out", "tty"):
            write_all(1, data)
        elif name == "err":
            write_all(2, data)
        elif name == "ctl":
            self.control(data)
        elif name == "stdin":
            self.ports["tty"].sendall(data)
        return True

    def kill(self):
        self.process.kill()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            print("zcio: QEMU does not die; the host's kernel holds it", file=sys.stderr)


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def interactive(guest):
    """The terminal in raw mode while the guest runs."""
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        if saved:
            tty.setraw(0)
        guest.pump(float("inf"))
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def verdict(guest, finished, timeout):
    """Say what went wrong, if anything; the exit status."""
    log = os.path.join(guest.run, "console.log")
    found = splat.scan_file(log)
    if not finished and guest.status is None:
        what, more = (f"come up within {BOOT_SECONDS} s", "") if guest.hangs_in_boot() else \
            (f"finish within {timeout:.0f} s", " More time: TIMEOUT=seconds.")
        print(f"zcio: the guest did not {what} and was stopped. "
              f"What its tasks did stands at the end of {log}.{more}", file=sys.stderr)
        status = HUNG
    elif guest.broken:
        print(f"zcio: the guest was not ready: {guest.broken}\n      Its log: {log}", file=sys.stderr)
        status = BROKEN
    elif guest.status is None:
        what = ("the kernel panicked" if guest.panicked else
                "the guest was lost before its command ended" if guest.ready else
                "the guest did not start")
        print(f"zcio: {what}. The end of its log:", file=sys.stderr)
        for path in (log, os.path.join(guest.run, "qemu.log")):
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file.read().splitlines()[-15:]:
                    print("    | " + line, file=sys.stderr)
        print(f"      The whole log: {log}", file=sys.stderr)
        status = LOST if guest.ready else BROKEN
    else:
        status = guest.status
    if found:
        print(f"zcio: the kernel's log shows {len(found)} splat(s):", file=sys.stderr)
        print(splat.show(found), file=sys.stderr)
        print(f"      The whole log: {log}", file=sys.stderr)
        status = status or SPLAT
    return status


def configuration(run):
    """What the environment asks for, as the guest and QEMU are to have it."""
    config = {
        "KERNEL": setting("KERNEL"), "TOP": setting("TOP"), "CACHE": setting("CACHE"),
        "NIC": setting("NIC", "e1000e"), "MTU": setting("MTU", "9000"),
        "CPUS": setting("CPUS", "2"), "MEM": setting("MEM", "4G"),
        "KCMDLINE": setting("KCMDLINE"), "QEMU_OPTS": setting("QEMU_OPTS"),
        "MODULE": setting("MODULE"), "MODULE_DEPS": dependencies(setting("MODULE")),
        "MODULE_PARAMS": setting("MODULE_PARAMS"),
        "INTERACTIVE": setting("INTERACTIVE"), "CMD": setting("CMD", "true"),
    }
    config["COLS"], config["ROWS"] = shutil.get_terminal_size()
    config["ACCEL"] = setting("ACCEL") or qemu.choose_accel(config, run)
    config["CPU"] = setting("CPU") or qemu.CPU[config["ACCEL"]]
    write_env(run, config)
    return config


def begin_anew(guest, config, run):
    """Another guest in place of one that hangs in its boot; that one's log is kept."""
    guest.kill()
    log = os.path.join(run, "console-hung.log")
    os.replace(os.path.join(run, "console.log"), log)
    print(f"zcio: the guest did not come up within {BOOT_SECONDS} s, so it is booted once more. "
          f"The first log: {log}", file=sys.stderr)
    return Guest(config, run)


def main():
    sys.stdout.reconfigure(line_buffering=True)
    run = os.environ["ZCIO_RUN"]
    config = configuration(run)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    timeout = float(setting("TIMEOUT", "600"))
    guest = Guest(config, run)
    finished = True
    try:
        if config["INTERACTIVE"]:
            interactive(guest)
        else:
            finished = guest.pump(guest.start + timeout)
            if guest.hangs_in_boot():
                guest = begin_anew(guest, config, run)
                finished = guest.pump(guest.start + timeout)
            if not finished:
                guest.ask_for_tasks()
    except KeyboardInterrupt:
        guest.kill()
        return 130
    finally:
        guest.kill()
    if setting("TIMES"):
        ready = f"{guest.ready:.1f}" if guest.ready else "never"
        print(f"zcio: guest ready after {ready} s, off after {time.monotonic() - guest.start:.1f} s",
              file=sys.stderr)
    return verdict(guest, finished, timeout)


if __name__ == "__main__":
    sys.exit(main())
