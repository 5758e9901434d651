#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The examples, C and Rust, against each other over loopback; a C++ program that uses
# the library; the library exports what its map says.
# timeout: 240
set -u
cd "$(dirname "$0")/../.." || exit 1
build=build/userspace
examples=$build/examples
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

echo "TAP version 13"
echo "1..11"
n=0
failed=0
# result NAME: the last command's status decides; $tmp/log says why
result() {
	local status=$?
	n=$((n + 1))
	if [ $status = 0 ]; then
		echo "ok $n $1"
	else
		failed=1
		sed 's/^/# /' "$tmp/log"
		echo "not ok $n $1"
	fi
}

# The sum of the bytes that the sender makes: 0 to 250 again and again.
sum_of() {
	local whole=$(($1 / 251)) rest=$(($1 % 251))
	echo $((whole * (250 * 251 / 2) + rest * (rest - 1) / 2))
}

# number WORD FILE: the number behind (sum) or before (bytes) a word in what was said
after() { sed -nE "s/.*$1 ([0-9]+).*/\1/p" "$2"; }

port=7100
# transfer RECEIVER SENDER BYTES ADDRESS
transfer() {
	local pid sum
	port=$((port + 1))
	"$examples/$1" $port >"$tmp/received" 2>"$tmp/log" &
	pid=$!
	until ss -Hltn "sport = :$port" | grep -q . || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
	if ! "$examples/$2" "$4" $port "$3" >"$tmp/sent" 2>>"$tmp/log"; then
		kill $pid
		wait $pid
		return 1
	fi
	wait $pid || return 1
	cat "$tmp/sent" "$tmp/received" >>"$tmp/log"
	sum=$(sum_of "$3")
	[ "$(after sent "$tmp/sent")" = "$3" ] && [ "$(after received "$tmp/received")" = "$3" ] &&
		[ "$(after sum "$tmp/sent")" = "$sum" ] && [ "$(after sum "$tmp/received")" = "$sum" ]
}

for receiver in receive receive-rs; do
	for sender in send send-rs; do
		transfer $receiver $sender 5000001 127.0.0.1
		result "$sender to $receiver over IPv4"
		transfer $receiver $sender 1 ::1
		result "$sender to $receiver over IPv6, one byte"
	done
done

cat >"$tmp/use.cc" <<'EOF'
#include <linux/zcio.h>
#include <zcio.h>
#include <cstdio>
#include <cstring>

static_assert(sizeof(struct zcio_payload) == 96 && sizeof(struct zcio_readv) == 64 &&
	      sizeof(struct zcio_writev) == 64, "");

int main()
{
	zcio_ctx *ctx = zcio_open();
	struct zcio_info info;

	if (!ctx || zcio_info(ctx, -1, &info) || info.version != ZCIO_ABI_VERSION)
		return 1;
	void *window = zcio_window(ctx, 2 * info.page_size, 0);
	char *pool = static_cast<char *>(zcio_pool(ctx, info.page_size));
	iovec region[1] = { { window, info.page_size } };
	const iovec area[1][2] = { { { pool, info.page_size }, { pool, 1 } } };

	if (!window || !pool || zc_readv(-1, region, 1) != -1 || zc_writev(-1, area, 1) != -1)
		return 2;
	std::puts(zcio_why(0));
	return std::strcmp(zcio_why(0), "small") != 0;
}
EOF
g++ -std=c++11 -Wall -Wextra -Werror -pedantic -I"$build/include" -o "$tmp/use" "$tmp/use.cc" -L"$build" -lzcio >"$tmp/log" 2>&1
result "a C++ program includes both headers"
LD_LIBRARY_PATH=$build "$tmp/use" >"$tmp/log" 2>&1
result "the C++ program runs with the shared library"

nm -D --defined-only "$build/libzcio.so" | sed -nE 's/.* T (.*)@@ZCIO_0.1$/\1/p' | LC_ALL=C sort >"$tmp/exported"
sed -nE 's/^\t([a-z_]+);$/\1/p' userspace/libzcio/libzcio.map | LC_ALL=C sort >"$tmp/map"
[ -s "$tmp/map" ] && diff "$tmp/map" "$tmp/exported" >"$tmp/log" &&
	[ "$(nm -D --defined-only "$build/libzcio.so" | grep -vc ' A ')" = "$(wc -l <"$tmp/map")" ]
result "libzcio.so exports what its map says, and nothing else"
exit $failed
