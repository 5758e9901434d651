#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Make the debug kernel ready: the distribution's own source of a stock kernel that
# setup made ready, built by clang with tinyconfig and tests/rig/debug.config. It
# lies beside the stock ones in $kernels/VERSION-debug and is made anew when its
# options, its source or the compilers change. What was interrupted goes on where
# it was; what cannot go on begins again. Progress to stderr, the version to stdout.
#
#   [KERNEL=debug | KERNEL=7.2-debug] tests/rig/kernel-debug.sh [--if-ready]
#
# With --if-ready nothing is built: status 1 if it is not there as it is to be.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$rig/setup-kernel.sh"

total=8
# Raise it when the way the kernel is made changes, other than in debug.config.
debug_recipe=1
# How many files the compilers make, to show how far they are.
files=2500
# All that the guest needs to boot is built in.
boot_modules=

stock=${KERNEL:-debug}
stock=${stock%debug}
stock=$(KERNEL=${stock%-} "$rig/setup")
version=$(kernel_upstream "$stock")-debug
dir=$kernels/$version

options() { grep -E '^CONFIG_' "$rig/debug.config"; }

# Compilers by their packages, which is quicker than asking them.
compilers() {
	awk '/^Package: / { p = $2 } /^Version: / && p ~ /^(clang-[0-9]+|lld-[0-9]+|rustc|bindgen|pahole)$/ { print p, $2 }' \
		"$root/var/lib/dpkg/status"
}

source_id() { echo "$stock $(<"$kernels/$stock/stamp")"; }

recipe() {
	{
		echo "$debug_recipe"
		source_id
		compilers
		options
	} | sha256sum | cut -c1-16
}

key_files() {
	printf '%s\n' kdir/{vmlinux,.config,Module.symvers,scripts/mod/modpost,tools/objtool/objtool} \
		kdir/rust/{libcore.rmeta,libkernel.rmeta,libbindings.rmeta,libmacros.so} \
		"pkg/usr/lib/modules/$version/modules.builtin.bin"
}

ready() {
	local file
	[ "$(cat "$dir/stamp" 2>/dev/null)" = "$(recipe)" ] && boot_ready "$version" || return 1
	while read -r file; do [ -s "$dir/$file" ] || return 1; done < <(key_files)
}

kmake() {
	"$rig/enter" make --no-print-directory -C "$dir/kdir" LLVM=1 LOCALVERSION=-debug -j"$(nproc)" "$@"
}

# Each step's commands are chained: where a failure is looked at, 'set -e' does nothing.
copy_source() {
	rm -rf "$dir/kdir" "$dir/source" &&
		mkdir -p "$dir" &&
		cp -a --reflink=auto "$kernels/$stock/kdir" "$dir/kdir" &&
		kmake mrproper &&
		source_id >"$dir/source"
}

configure() {
	kmake tinyconfig &&
		options >>"$dir/kdir/.config" &&
		kmake olddefconfig &&
		check_options
}

# Kconfig drops what it cannot have without a word.
check_options() {
	local line name bad=0
	while IFS= read -r line; do
		name=${line%%=*}
		if [ "$line" = "$name=n" ]; then
			! grep -q "^$name=" "$dir/kdir/.config" || { echo "$name is on, but was to be off"; bad=1; }
		elif ! grep -qxF "$line" "$dir/kdir/.config"; then
			echo "$line was asked for, but is: $(grep -E "^(# )?${name}[ =]" "$dir/kdir/.config" || echo unknown)"
			bad=1
		fi
	done < <(options)
	return $bad
}

compile() {
	local log=$dir/build.log watcher status=0
	: >"$log"
	while sleep 60; do printf '%d ' "$(grep -cE '^  [A-Z]' "$log")" >&7; done &
	watcher=$!
	kmake vmlinux modules >"$log" 2>&1 || status=$?
	kill "$watcher"
	tail -n 40 "$log"
	[ $status = 0 ] && [ "$(kmake -s kernelrelease)" = "$version" ]
}

install_modules() {
	rm -rf "$dir/pkg" && kmake modules_install INSTALL_MOD_PATH="$dir/pkg/usr"
}

build() {
	local resumed=1
	if [ "$(cat "$dir/source" 2>/dev/null)" != "$(source_id)" ]; then
		resumed=
		copy
	fi
	step 5 "$total" "setting the debug kernel's options" configure
	if [ -z "$resumed" ]; then
		compile_it
	elif ! (compile_it); then
		say "zcio: what was there does not go on; beginning again"
		copy
		step 5 "$total" "setting the debug kernel's options" configure
		compile_it
	fi
	step 7 "$total" "installing its modules" install_modules
}

copy() { step 4 "$total" "copying the source of $stock" copy_source; }
compile_it() { step 6 "$total" "compiling it: about $files files, some 18 minutes on 2 idle cores" compile; }

if [ "${1:-}" = --if-ready ]; then
	ready || exit 1
elif ! ready; then
	exec 8>"$kernels/debug.lock"
	if ! flock -n 8; then
		say "zcio: another run builds the debug kernel; waiting for it to finish"
		flock 8
	fi
	if ! ready; then
		exec 7>&2
		start=$SECONDS
		say "zcio: building the debug kernel $version in $dir (needs about 6 GB)"
		rm -f "$dir/stamp" "$dir/boot.stamp"
		build
		make_boot "$version"
		recipe >"$dir/stamp.tmp"
		mv "$dir/stamp.tmp" "$dir/stamp"
		ready || die "the debug kernel was built, but some of its files are missing in $dir" \
			"key_files in tests/rig/kernel-debug.sh has the list."
		say "zcio: debug kernel done in $((SECONDS - start))s"
		exec 7>&-
	fi
	exec 8>&-
fi
printf '%s\n' "$version"
