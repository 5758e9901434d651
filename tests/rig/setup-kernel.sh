# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # variables of lib.sh and setup
# The set-up's second half: a stock kernel of the distribution with its modules,
# an initramfs that mounts the root over 9p, and a tree to build modules in.
# All in $kernels/VERSION; the file 'stamp' there is written last of all.

# What shows that a kernel's folder is whole, besides its stamp.
kernel_key_files() {
	printf '%s\n' "pkg/usr/lib/modules/$1/"{vmlinuz,modules.dep,kernel} \
		kdir/{Makefile,.config,Module.symvers,scripts/mod/modpost,tools/objtool/objtool} \
		kdir/include/generated/utsrelease.h \
		kdir/rust/lib{core,compiler_builtins,build_error,ffi,bindings,uapi,pin_init,kernel}.rmeta \
		kdir/rust/lib{macros,pin_init_internal}.so
}

# Sets $missing to what is not there.
kernel_ready() {
	local dir=$kernels/$1 file
	missing=
	[ "$(cat "$dir/stamp" 2>/dev/null)" = "$kernel_recipe" ] || return 1
	while read -r file; do
		[ -s "$dir/$file" ] || {
			missing=$dir/$file
			return 1
		}
	done < <(kernel_key_files "$1")
}

# What QEMU boots is made again whenever what it is made of changes.
boot_recipe() { (cd "$rig" && cat initrd-init make-boot && echo "$boot_modules") | cksum; }
boot_ready() {
	[ -s "$kernels/$1/initrd" ] && [ -s "$kernels/$1/vmlinux" ] &&
		[ "$(cat "$kernels/$1/boot.stamp" 2>/dev/null)" = "$(boot_recipe)" ]
}

make_boot() {
	rm -f "$kernels/$1/boot.stamp"
	step 8 "$total" "making the initramfs" "$rig/enter" --kernel "$1" "$rig/make-boot" "$kernels/$1" "$boot_modules"
	boot_recipe >"$kernels/$1/boot.stamp"
}

# Versions on offer whose headers, image, modules and source fit together, newest first.
offered() {
	local line name src
	for line in $supported_lines; do
		src=$(candidate "linux-source-$line")
		[ -n "$src" ] || continue
		in_admin apt-cache pkgnames "linux-headers-$line" |
			sed -nE "s/^linux-headers-($line(\.[0-9]+)?$flavour)$/\1/p" | sort -rV |
			while read -r name; do
				[ "$(candidate "linux-headers-$name")" != "$src" ] ||
					[ -z "$(image_package "$name")" ] || printf '%s\n' "$name"
			done
	done
}

candidate() { in_admin apt-cache policy "$1" | sed -nE 's/^  Candidate: ([^(].*)$/\1/p'; }

# Lines signed already have the image in linux-binary-VERSION, others in linux-binary-unsigned-VERSION.
image_package() {
	local name
	for name in "linux-binary-$1" "linux-binary-unsigned-$1"; do
		if [ -n "$(candidate "$name")" ]; then
			printf '%s\n' "$name"
			return
		fi
	done
}

# Sets $version from $kernel (empty, a line, or a whole version) and says which.
choose_kernel() {
	local list
	if [ -n "${UPDATE:-}" ] || ! compgen -G "$root/var/lib/apt/lists/*Packages*" >/dev/null; then
		step 3 "$total" "asking the mirror what is on offer" update_lists
	fi
	list=$(offered)
	version=$(pick "$list")
	if [ -z "$version" ]; then
		step 3 "$total" "asking the mirror what is on offer" update_lists
		list=$(offered)
		version=$(pick "$list")
	fi
	[ -n "$version" ] || die "no kernel '${kernel:-of a supported line}' is on offer" \
		"Supported lines: $supported_lines. On offer: ${list:-none}."
	printf '[ 3/%d] kernel: %s (on offer: %s)\n' "$total" "$version" "$(paste -sd' ' <<<"$list")" >&2
}

pick() {
	local name
	for name in $1; do
		case $kernel in
		"" | "$name" | "$(kernel_line "$name")" | "$(kernel_upstream "$name")")
			printf '%s\n' "$name"
			return
			;;
		esac
	done
}

make_kernel() {
	local v=$1 dir=$kernels/$1 missing
	# Not made under another name and renamed: a kernel tree remembers where it was made.
	rm -rf "$dir"
	mkdir -p "$dir/debs"
	step 4 "$total" "fetching kernel $v" fetch_kernel
	step 5 "$total" "unpacking its image and modules" unpack_kernel
	step 6 "$total" "unpacking its source" unpack_source
	step 7 "$total" "preparing a tree to build modules in" prepare_tree
	rm -rf "$dir/debs" "$dir/src"
	printf '%s\n' "$kernel_recipe" >"$dir/stamp.tmp"
	mv "$dir/stamp.tmp" "$dir/stamp"
	kernel_ready "$v" || die "kernel $v was set up, but ${missing:-its stamp} is missing" \
		"kernel_key_files in tests/rig/setup-kernel.sh has the list."
}

fetch_kernel() {
	local line names
	line=$(kernel_line "$v")
	names="linux-headers-$v $(image_package "$v") linux-modules-$v linux-source-$line"
	# The archive may have moved on since its lists were fetched.
	# shellcheck disable=SC2086
	in_admin env -C "$dir/debs" apt-get -o APT::Sandbox::User=root download $names || {
		update_lists
		in_admin env -C "$dir/debs" apt-get -o APT::Sandbox::User=root download $names
	}
	[ "$(id -u)" = 0 ] || as_root chown -R "$(id -u):$(id -g)" "$dir/debs"
}

unpack_kernel() {
	local deb image=$dir/pkg/usr/lib/modules/$v/vmlinuz
	for deb in "$dir"/debs/linux-{headers,binary,modules}*.deb; do
		"$rig/enter" dpkg-deb -x "$deb" "$dir/pkg"
	done
	# An image not signed yet has its name lengthened.
	[ -e "$image" ] || ln -s vmlinuz.unsigned "$image"
	"$rig/enter" depmod -b "$dir/pkg/usr" "$v"
}

unpack_source() {
	"$rig/enter" dpkg-deb -x "$dir"/debs/linux-source-*.deb "$dir/src"
	mkdir "$dir/kdir"
	"$rig/enter" tar -xJf "$dir/src/usr/src/linux-source-$(kernel_line "$v").tar.xz" \
		-C "$dir/kdir" --strip-components=1
}

prepare_tree() {
	local headers=$dir/pkg/usr/src/linux-headers-$v
	cp "$headers/.config" "$headers/Module.symvers" "$dir/kdir/"
	"$rig/enter" --kernel "$v" make -C "$dir/kdir" -j"$(nproc)" \
		CC=gcc-14 LOCALVERSION="${v#"$(kernel_upstream "$v")"}" olddefconfig modules_prepare
	[ "$("$rig/enter" make -s -C "$dir/kdir" LOCALVERSION="${v#"$(kernel_upstream "$v")"}" kernelrelease)" = "$v" ]
}
