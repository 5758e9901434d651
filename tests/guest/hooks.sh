#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The module's debugging hooks (rust/ground/debug.rs): all there on a debug kernel, and not
# a trace of them in the module of any other.
dir=/sys/kernel/debug/zcio
name='writev_checked\|lock-inversion'

echo "TAP version 13"
n=0
check() {
	n=$((n + 1))
	local what=$1
	shift
	if "$@"; then echo "ok $n $what"; else echo "not ok $n $what"; fi
}
not() { ! "$@"; }
is() { [ "$(cat "$1")" = "$2" ]; }
# Bash says itself what failed: shown as KTAP's comment.
set_to() { echo "$2" 2>/dev/null >"$1"; }

if ! [ -e /proc/self/fail-nth ]; then
	echo "1..2"
	check "no hooks in debugfs" not test -e "$dir"
	check "no hooks in zcio.ko" not grep -q "$name" "$ZCIO_MODULE"
	exit
fi
echo "1..8"
check "zcio.ko has the hooks that other modules are searched for" grep -q "$name" "$ZCIO_MODULE"
check "every point has a count and a delay" \
	test "$(ls "$dir/hits")" = "$(ls "$dir/delay_us")"
check "a point holds nobody at first" is "$dir/delay_us/writev_checked" 0
check "a delay can be set" set_to "$dir/delay_us/writev_checked" 10000000
check "a delay is what was set" is "$dir/delay_us/writev_checked" 10000000
check "a delay above 10 s is refused" not set_to "$dir/delay_us/writev_checked" 10000001
check "a delay can be taken away" set_to "$dir/delay_us/writev_checked" 0
check "a bug that does not exist is refused" not set_to "$dir/plant" nonsense
