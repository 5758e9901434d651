# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The guest's network: zc0 here, zc1 in network namespace 'peer', wired together.
# With NIC=lo both ends are addresses of the loopback device.

net_up() {
	ip link set lo up
	export ZCIO_LOCAL4=10.77.0.1 ZCIO_PEER4=10.77.0.2 ZCIO_LOCAL6=fd77::1 ZCIO_PEER6=fd77::2
	export ZCIO_PEER_EXEC=""
	if [ "$ZCIO_NIC" = lo ]; then
		ip link set lo mtu "$ZCIO_MTU" || return
		ip addr add 10.77.0.1/32 dev lo && ip addr add 10.77.0.2/32 dev lo &&
			ip addr add fd77::1/128 dev lo nodad && ip addr add fd77::2/128 dev lo nodad
		return
	fi
	ZCIO_PEER_EXEC="ip netns exec peer"
	ip netns add peer
	if [ "$ZCIO_NIC" = veth ]; then
		ip link add zc0 type veth peer name zc1 || return
	else
		modprobe "$(nic_module "$ZCIO_NIC")" || return
		rename 52:54:00:77:00:01 zc0 && rename 52:54:00:77:00:02 zc1 || return
	fi
	ip link set zc1 netns peer || return
	$ZCIO_PEER_EXEC ip link set lo up
	one_end "" zc0 10.77.0.1 fd77::1 && one_end "$ZCIO_PEER_EXEC" zc1 10.77.0.2 fd77::2 || return
	# The emulated NICs' links come up a moment later.
	local i
	for ((i = 0; i < 100; i++)); do
		ping -c 1 -W 0.1 -q 10.77.0.2 >/dev/null 2>&1 &&
			ping -c 1 -W 0.5 -q fd77::2 >/dev/null 2>&1 && return
		sleep 0.05
	done
	return 1
}

nic_module() {
	case $1 in
	virtio-net-pci) echo virtio_net ;;
	*) echo "$1" ;;
	esac
}

# rename MAC NAME
rename() {
	local dir i
	for ((i = 0; i < 100; i++)); do
		for dir in /sys/class/net/*; do
			[ "$(cat "$dir/address")" = "$1" ] || continue
			ip link set "${dir##*/}" name "$2"
			return
		done
		sleep 0.05
	done
	return 1
}

# one_end "EXEC" DEVICE IPV4 IPV6
one_end() {
	# shellcheck disable=SC2086
	$1 ip link set "$2" mtu "$ZCIO_MTU" && $1 ip addr add "$3/24" dev "$2" &&
		$1 ip addr add "$4/64" dev "$2" nodad && $1 ip link set "$2" up
}
