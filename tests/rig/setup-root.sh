# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # variables of lib.sh and setup
# The set-up's first half: a Debian root in the cache, made by mmdebstrap from
# the mirror that this machine's own apt uses, with the packages of packages.txt.

wanted_packages() { sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$rig/packages.txt" | LC_ALL=C sort -u; }

# The root is ready when its key files are there and every wanted package was installed.
root_ready() {
	local file
	for file in $root_key_files; do [ -e "$root/$file" ] || return 1; done
	[ -f "$root/etc/zcio-packages" ] &&
		[ -z "$(wanted_packages | LC_ALL=C comm -23 - "$root/etc/zcio-packages")" ]
}

remove_leftovers() {
	local dir
	for dir in "$cache"/root.new.* "$cache"/root.old.*; do
		[ ! -e "$dir" ] || as_root rm -rf --one-file-system "$dir" || say "zcio: could not remove all of $dir"
	done
}

# The Debian mirror of this machine's own apt sources.
mirror() {
	local codename
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(ORIGIN)|$(REPO_URI)' 'Created-By: Packages' |
		sed -nE "s/^($codename|stable|testing|unstable|sid|oldstable) main (Debian)?\|//p" | head -n 1
}

# Proxy settings of this machine's apt, as configuration lines.
apt_proxy() { apt-config dump | grep -iE '^Acquire::[a-z]+::(proxy|no-proxy)[^ ]* "[^"]' || :; }

sources() {
	printf 'deb %s %s main\n' "$1" "$suite" "$1" "$backports"
}

make_root() {
	if ! command -v mmdebstrap >/dev/null; then
		step 1 "$total" "installing mmdebstrap on this machine" install_mmdebstrap
	fi
	mirror_uri=${ZCIO_MIRROR:-$(mirror)}
	[ -n "$mirror_uri" ] || die "no Debian mirror found in this machine's apt sources" \
		"Set ZCIO_MIRROR to the address of one."
	if [ -x "$root/usr/bin/apt-get" ] && [ -f "$root/etc/zcio-packages" ]; then
		step 2 "$total" "installing new packages into the root" update_root
		! root_ready || return 0
		say "zcio: the root is damaged; making a new one"
	fi
	step 2 "$total" "making a Debian $suite root with compilers and QEMU" new_root
	root_ready || die "the new root in $root lacks some of: $root_key_files" "Is packages.txt complete?"
}

install_mmdebstrap() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap ||
		{ as_root apt-get update &&
			as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap; }
}

new_root() {
	local new=$cache/root.new.$$ conf=$cache/apt-proxy.conf
	apt_proxy >"$conf"
	# In namespaces of its own: when this is killed, so is it, and nothing stays mounted.
	sources "$mirror_uri" | as_root unshare --mount --propagation private \
		--pid --fork --kill-child --mount-proc \
		mmdebstrap --mode=root --variant=minbase --skip=cleanup/apt/lists \
		--aptopt="$conf" --aptopt='APT::Install-Recommends "false"' \
		--include="$(wanted_packages | paste -sd,)" "$suite" "$new" -
	wanted_packages | as_root tee "$new/etc/zcio-packages" >/dev/null
	if [ -e "$root" ]; then as_root mv -T "$root" "$cache/root.old.$$"; fi
	as_root mv -T "$new" "$root"
	remove_leftovers
}

# In the root as it is: finish what was interrupted, then install what is new.
update_root() {
	local all
	update_lists
	in_admin dpkg --configure -a
	in_admin apt-get -y -f install
	all=$(wanted_packages | LC_ALL=C sort -u - "$root/etc/zcio-packages")
	wanted_packages | in_admin xargs -d '\n' apt-get install -y --no-install-recommends
	printf '%s\n' "$all" | as_root tee "$root/etc/zcio-packages.new" >/dev/null
	as_root mv "$root/etc/zcio-packages.new" "$root/etc/zcio-packages"
}

update_lists() {
	apt_proxy | as_root tee "$root/etc/apt/apt.conf.d/90zcio-proxy" >/dev/null
	sources "${mirror_uri:=${ZCIO_MIRROR:-$(mirror)}}" | as_root tee "$root/etc/apt/sources.list" >/dev/null
	in_admin apt-get update
}

in_admin() { "$rig/enter" --admin "$@"; }
