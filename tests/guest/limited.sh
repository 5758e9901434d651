#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An ordinary user's sender at the limit of locked memory: pages on their way use it up, so
# it waits for them (zcio::Pool::send_all), and all of the file comes.
# timeout: 120
set -u
cd "$(dirname "$0")/../.." || exit 1
zcio=$PWD/build/userspace/zcio
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
head -c 24M /dev/urandom >"$tmp/file"
chmod 644 "$tmp/file"

echo "TAP version 13"
echo "1..2"
failed=0
# result N NAME: the last command's status decides; $tmp/log says why
result() {
	local status=$?
	[ $status = 0 ] && echo "ok $1 $2" && return
	failed=1
	sed 's/^/# /' "$tmp/log"
	echo "not ok $1 $2"
}

# limited BYTES COMMAND…: as an ordinary user
limited() {
	local bytes=$1
	shift
	prlimit --memlock="$bytes" setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# Here unread pages are the sender's, so the receiver must not wait for more than those.
"$zcio" receive --copy --quiet --wait 64K --listen 127.0.0.1:7900 --output "$tmp/came" >"$tmp/log" 2>&1 &
until ss -Hltn "sport = :7900" | grep -q .; do sleep 0.1; done
# The pool has 1 MiB; half as much may be on its way.
limited 1572864 "$zcio" send --quiet 127.0.0.1:7900 "$tmp/file" >>"$tmp/log" 2>&1 &&
	wait $! && cmp "$tmp/file" "$tmp/came" >>"$tmp/log" 2>&1
result 1 "a sender waits for pages that are on their way"

# A pool that leaves no room at all: nothing can come home, so it is told and does not wait.
"$zcio" receive --copy --quiet --wait 64K --listen 127.0.0.1:7901 >/dev/null 2>&1 &
until ss -Hltn "sport = :7901" | grep -q .; do sleep 0.1; done
! limited 1048576 "$zcio" send --quiet 127.0.0.1:7901 "$tmp/file" >"$tmp/log" 2>&1 &&
	grep -q "RLIMIT_MEMLOCK" "$tmp/log"
result 2 "a sender whose pool is all that it may have is told so"
wait
exit $failed
