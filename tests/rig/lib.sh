# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Shared by the rig's host-side scripts: where things lie, how steps are shown.

rig=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$rig/../.." && pwd -P)
cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/zcio
root=$cache/root
kernels=$cache/kernels
logs=$cache/logs
. "$rig/conf.sh"

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [WHAT TO DO]
die() {
	printf '\nzcio: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf '      %s\n' "$2" >&2
	exit 1
}

case "$top$cache" in
*[[:space:]:,]*) die "the path '$top' or '$cache' has a blank, colon or comma in it" \
	"Kbuild and QEMU cannot cope: use another folder, or another XDG_CACHE_HOME." ;;
esac

# Run a command as root: directly, or by sudo.
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# step N TOTAL TEXT COMMAND...: run COMMAND with its output in a log, show TEXT
# and the seconds it took; on failure the end of the log and where to find it.
step() {
	local n=$1 total=$2 text=$3 log start rc=0
	shift 3
	mkdir -p "$logs"
	log=$logs/$(date +%Y%m%d-%H%M%S)-$n.log
	printf '[%2d/%d] %s ... ' "$n" "$total" "$text" >&2
	start=$SECONDS
	set +e
	(set -e; "$@") >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	if [ $rc = 0 ]; then
		printf '%ds\n' $((SECONDS - start)) >&2
		return
	fi
	printf 'FAILED after %ds (status %d)\n' $((SECONDS - start)) $rc >&2
	tail -n 15 "$log" | sed 's/^/    | /' >&2
	die "$text: failed. The whole log: $log" \
		"Run the same command again: finished steps are kept. If it fails again at the same place, 'make clean-cache' starts from nothing."
}

# The upstream part and the line of a kernel version: 7.3.4+deb13-amd64 -> 7.3.4 -> 7.3
kernel_upstream() { printf '%s\n' "${1%%[+-]*}"; }
kernel_line() { kernel_upstream "$1" | cut -d. -f1,2; }
