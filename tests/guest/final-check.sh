#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs last in each guest, when every test program has ended: nothing may be left of
# them. One context is the one that asks.
info=$(build/userspace/zcio info --json) || exit 1
field() { grep -o "\"$1\":[0-9]*" <<<"$info" | cut -d: -f2; }

echo "TAP version 13"
echo "1..3"
n=0
check() {
	n=$((n + 1))
	if [ "$(field "$1")" = "$2" ]; then
		echo "ok $n no $3 are left"
	else
		echo "# $1 is $(field "$1"), expected $2"
		echo "not ok $n no $3 are left"
	fi
}
check total_contexts 1 "contexts"
check total_window_pages 0 "window pages"
check total_pool_pages 0 "pool pages"
