#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The fuzzer (tests/fuzz) in small: every program that it once kept, each of which reaches
# what the others do not, and some made up from a fixed seed. As KTAP.
# timeout: 300
cd "$(dirname "$0")/../.." || exit 1
# What a program did that the kernel does not survive is on the host by then.
out=$ZCIO_RUN/fuzz
mkdir -p "$out"
status=0
echo "TAP version 13"
echo "1..2"
n=0

# try NAME ARGUMENT...
try() {
	local name=$1 result=ok
	shift
	n=$((n + 1))
	build/tests/zcio-fuzz run --out "$out" "$@" >"$out/log" 2>&1 || {
		result="not ok" status=1
		mv "$out/finding.json" "$out/finding-$n.json"
		echo "# again with: make fuzz NIC=$ZCIO_NIC REPLAY=$out/finding-$n.json"
	}
	sed 's/^/# /' "$out/log"
	echo "$result $n $name"
}

try "the programs that were kept find nothing" --corpus tests/fuzz/corpus --count 0
try "programs from a fixed seed find nothing" --seed 1 --count 60
exit $status
