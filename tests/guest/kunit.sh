#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the module's KUnit suites (#[kunit_tests(NAME)] in rust/) said when it was loaded,
# as KTAP. A kernel without KUnit has none of them.
set -o pipefail
cd "$(dirname "$0")/../.." || exit 1
results=/sys/kernel/debug/kunit

echo "TAP version 13"
if ! [ -d "$results" ]; then
	echo "1..0 # SKIP the kernel has no KUnit"
	exit
fi
mapfile -t suites < <(grep -rhoP '^#\[kunit_tests\(\K\w+' rust | sort)
echo "1..${#suites[@]}"
n=0
for suite in "${suites[@]}"; do
	n=$((n + 1))
	# Of what stands outside the suite, only its result is kept, with our number.
	if ! grep -v '^KTAP\|^1\.\.1$' "$results/$suite/results" 2>/dev/null |
		sed -E "s/^((not )?ok) 1 /\1 $n /"; then
		echo "not ok $n $suite did not run"
	fi
done
[ "$n" -gt 0 ]
