# SPDX-License-Identifier: GPL-2.0
"""'make matrix': boot a guest for each network of the table below, run tests/matrix/cells.py
there, and show what share of each kind of traffic zc_readv mapped, and why the rest was
copied. Writes build/results/matrix.json and build/results/matrix.md.

    [KERNEL=7.3] [NIC=… MTU=…] [MATRIX_MIB=16] [MATRIX_ONLY="UDP"] make matrix

Exit status 1 if bytes were wrong somewhere or a guest was lost; which shares there are is
for the reader."""
import json
import os
import subprocess
import sys
import time

TOP = os.environ["ZCIO_TOP"]
RESULTS = os.path.join(TOP, "build", "results")
RIG = os.path.join(TOP, "tests", "rig")
NETWORKS = [("e1000e", 9000), ("e1000e", 1500), ("virtio-net-pci", 9000), ("virtio-net-pci", 1500),
            ("vmxnet3", 9000), ("veth", 9000), ("veth", 1500), ("lo", 65536)]


def networks():
    if os.environ.get("ZCIO_NIC"):
        return [(os.environ["ZCIO_NIC"], int(os.environ.get("ZCIO_MTU") or 9000))]
    return NETWORKS


def cells(nic, mtu):
    """What one guest says, and whether it came to a good end."""
    folder = os.path.join(RESULTS, f"matrix-{nic}-{mtu}")
    os.makedirs(folder, exist_ok=True)
    given = " ".join(f"{name}='{os.environ[name]}'" for name in ("MATRIX_MIB", "MATRIX_ONLY") if os.environ.get(name))
    env = {**os.environ, "ZCIO_RUN": folder, "ZCIO_NIC": nic, "ZCIO_MTU": str(mtu),
           "ZCIO_CMD": f"{given} python3 -B tests/matrix/cells.py"}
    done = subprocess.run([sys.executable, "-B", os.path.join(RIG, "boot.py")], cwd=TOP, env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return found, done.returncode == 0 and bool(found)


def share(part, cell):
    return 100 * part / max(1, cell["mapped"] + cell["copied"])


def reasons(cell):
    """Why bytes were copied: shares of all bytes, the largest first."""
    listed = sorted(cell["reasons"].items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {share(count, cell):.1f} %" for name, count in listed) or "-"


def table(found):
    """The same as Markdown."""
    lines = ["| network, MTU | protocol | sender | mapped | copied, why | bytes |",
             "| --- | --- | --- | ---: | --- | --- |"]
    for cell in found:
        lost = f", {cell['datagrams_lost']} datagrams lost on the way" if cell["datagrams_lost"] else ""
        lines.append(f"| {cell['nic']} {cell['mtu']} | {cell['protocol']} | {cell['sender']} "
                     f"| {share(cell['mapped'], cell):.1f} % | {reasons(cell)} "
                     f"| {'equal' if cell['bytes_equal'] else 'WRONG'}{lost} |")
    return "\n".join(lines) + "\n"


def main():
    found, good = [], True
    for number, (nic, mtu) in enumerate(networks(), 1):
        start = time.monotonic()
        print(f"[{number}/{len(networks())}] {nic}, MTU {mtu} ... ", end="", file=sys.stderr, flush=True)
        here, ended = cells(nic, mtu)
        good &= ended and all(cell["bytes_equal"] for cell in here)
        found += here
        print(f"{len(here)} kinds{'' if ended else ', NOT to the end'}, {time.monotonic() - start:.0f} s",
              file=sys.stderr)
    rig = {"kernel": os.environ["ZCIO_KERNEL"], "cpus": os.cpu_count()}
    with open(os.path.join(RESULTS, "matrix.json"), "w", encoding="utf-8") as file:
        json.dump({"rig": rig, "cells": found}, file, indent=1)
    text = f"Linux {rig['kernel']}, made by `make matrix`:\n\n" + table(found)
    with open(os.path.join(RESULTS, "matrix.md"), "w", encoding="utf-8") as file:
        file.write(text)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
