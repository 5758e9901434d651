#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The Rust crate's tests that need the device (userspace/zcio/tests/device.rs), as KTAP.
# timeout: 240
cd "$(dirname "$0")/../.." || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
build/userspace/tests/device --ignored --test-threads=1 >"$log" 2>&1
status=$?

echo "TAP version 13"
sed 's/^/# /' "$log"
n=0
while read -r _ name _ result; do
	n=$((n + 1))
	[ "$result" = ok ] && echo "ok $n $name" || echo "not ok $n $name"
done < <(grep '^test .* \.\.\. ' "$log")
echo "1..$n"
[ "$n" -gt 0 ] && exit $status
exit 1
