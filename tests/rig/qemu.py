# SPDX-License-Identifier: GPL-2.0
"""The QEMU command line of the rig's guest, and the choice between KVM and emulation."""
import os
import shlex
import subprocess
import sys

import tsc

# The emulator runs "rep movsb" and "rep stosb" byte by byte. Without these flags the
# kernel uses plain loops; with them every copy (erms, fsrm) and every memset (fsrs)
# would look several times dearer than it is on real hardware.
EMULATED = "max,erms=off,fsrm=off,fsrs=off"
CPU = {"kvm": "host", "tcg": EMULATED, "icount": EMULATED}
# "icount": emulated by one thread, and the guest's clock counts its instructions, a nanosecond
# each: what it takes for processor time is how many instructions that took, under any load.
ACCEL = {"kvm": "kvm", "tcg": "tcg,thread=multi", "icount": "tcg,thread=single"}
ICOUNT = ["-icount", "shift=0"]
ICOUNT_KHZ = 1000000
MACS = ("52:54:00:77:00:01", "52:54:00:77:00:02")
PROBE_SECONDS = 25
# Without it the allocator keeps the addresses of objects that it has handed out, in arrays
# for each processor, and kmemleak takes what is found there for not leaked.
DEBUG_OPTIONS = "slab_debug=F"


def clock_options(accel):
    """An emulated guest is told what it would measure wrong on a machine that is busy."""
    rate = tsc.khz() if accel == "tcg" else ICOUNT_KHZ if accel == "icount" else None
    return f" no_timer_check tsc_early_khz={rate}" if rate else ""


def base(config, accel, cpu, append):
    folder = f"{config['CACHE']}/kernels/{config['KERNEL']}"
    return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35", "-accel", ACCEL[accel], *(ICOUNT if accel == "icount" else []), "-cpu", cpu,
            "-smp", str(config["CPUS"]), "-m", config["MEM"],
            "-kernel", f"{folder}/vmlinux",
            "-initrd", f"{folder}/initrd", "-append", append]


def command(config, run, fds):
    """QEMU with the host's files, two wired NICs and one socket per port."""
    append = ("console=ttyS0 loglevel=8 log_buf_len=4M panic=-1 sysrq_always_enabled mitigations=off "
              f"zcio_top={config['TOP']} zcio_run={run} {config['KCMDLINE']}").strip()
    if config["KERNEL"].endswith("-debug"):
        append += " " + DEBUG_OPTIONS
    append += clock_options(config["ACCEL"])
    line = base(config, config["ACCEL"], config["CPU"], append)
    for name, fd in fds.items():
        line += ["-chardev", f"socket,id={name},fd={fd}"]
    line += ["-serial", "chardev:console", "-mon", "chardev=qmp,mode=control",
             "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    for name in ("out", "err", "ctl"):
        line += ["-device", f"virtserialport,chardev={name},name=zcio.{name}"]
    if "tty" in fds:
        line += ["-device", "virtconsole,chardev=tty"]
    line += ["-virtfs", "local,path=/,mount_tag=root,security_model=none,multidevs=remap,readonly=on",
             "-virtfs", f"local,path={config['TOP']},mount_tag=checkout,security_model=none,multidevs=remap"]
    if config["NIC"] not in ("veth", "lo"):
        for n, mac in enumerate(MACS):
            line += ["-netdev", f"hubport,id=n{n},hubid=1",
                     "-device", f"{config['NIC']},netdev=n{n},mac={mac}"]
    return line + shlex.split(config["QEMU_OPTS"])


def choose_accel(config, run):
    """KVM only where this very kernel was seen to boot with it: /dev/kvm may be there and hang."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    answer = f"{config['CACHE']}/kernels/{config['KERNEL']}/accel"
    try:
        with open(answer, encoding="ascii") as file:
            known, accel = file.read().split()
        if known == boot:
            return accel
    except (OSError, ValueError):
        pass
    print("zcio: /dev/kvm is there; trying whether the kernel boots with it ... ",
          end="", file=sys.stderr, flush=True)
    accel = "kvm" if probe(config, run) else "tcg"
    print("yes" if accel == "kvm" else "no, so the processor is emulated", file=sys.stderr)
    with open(f"{answer}.{os.getpid()}", "w", encoding="ascii") as file:
        file.write(f"{boot} {accel}\n")
    os.replace(f"{answer}.{os.getpid()}", answer)
    return accel


def probe(config, run):
    """Boot the kernel with KVM just far enough for its first program to say so."""
    log = os.path.join(run, "kvm-probe.log")
    line = base(config, "kvm", CPU["kvm"], "console=ttyS0 panic=-1 zcio_probe=1")
    with open(log, "wb") as file:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + line + ["-serial", f"file:{log}"],
                                   stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            process.wait(PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                pass
    with open(log, encoding="utf-8", errors="replace") as file:
        return "zcio: probe booted" in file.read()
