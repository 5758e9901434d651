# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The guest's network: zc0 here, zc1 in network namespace 'peer', wired together.
# With NIC=lo both ends are addresses of the loopback device.

net_up() {
	export ZCIO_LOCAL4=10.77.0.1 ZCIO_PEER4=10.77.0.2 ZCIO_LOCAL6=fd77::1 ZCIO_PEER6=fd77::2
	export ZCIO_PEER_EXEC=""
	if [ "$ZCIO_NIC" = lo ]; then
		batch "link set lo up mtu $ZCIO_MTU" \
			"addr add 10.77.0.1/32 dev lo" "addr add 10.77.0.2/32 dev lo" \
			"addr add fd77::1/128 dev lo nodad" "addr add fd77::2/128 dev lo nodad"
		return
	fi
	ZCIO_PEER_EXEC="ip netns exec peer"
	batch "netns add peer" "link set lo up" && batch -n peer -- "link set lo up" && net_wire
}

# Finds the two devices, as they come when their driver is loaded, and wires them.
net_wire() {
	if [ "$ZCIO_NIC" = veth ]; then
		batch "link add zc0 type veth peer name zc1" || return
	else
		modprobe "$(nic_module "$ZCIO_NIC")" || return
		rename 52:54:00:77:00:01 zc0 && rename 52:54:00:77:00:02 zc1 || return
	fi
	batch "link set zc1 netns peer" && net_addresses
}

# Gives them what they had at first, whatever was changed, and waits for the link.
net_addresses() {
	batch "link set zc0 mtu $ZCIO_MTU" "addr replace 10.77.0.1/24 dev zc0" \
		"addr replace fd77::1/64 dev zc0 nodad" "link set zc0 up" &&
		batch -n peer -- "link set zc1 mtu $ZCIO_MTU" "addr replace 10.77.0.2/24 dev zc1" \
			"addr replace fd77::2/64 dev zc1 nodad" "link set zc1 up" &&
		net_neighbours || return
	# The emulated NICs' links come up a moment later.
	local i
	for ((i = 0; i < 100; i++)); do
		[ "$(</sys/class/net/zc0/carrier)" = 1 ] &&
			ping -c 1 -W 0.3 -q 10.77.0.2 >/dev/null 2>&1 &&
			ping -c 1 -W 0.5 -q fd77::2 >/dev/null 2>&1 && return
		sleep 0.05
	done
	return 1
}

# Each end knows the other's hardware address for good. Were it asked for on the way, a
# datagram could overtake the one that waits for the answer, and tests count on their order.
net_neighbours() {
	local here peer
	here=$(</sys/class/net/zc0/address) && peer=$(ip netns exec peer cat /sys/class/net/zc1/address) || return
	batch "neigh replace 10.77.0.2 lladdr $peer dev zc0 nud permanent" \
		"neigh replace fd77::2 lladdr $peer dev zc0 nud permanent" &&
		batch -n peer -- "neigh replace 10.77.0.1 lladdr $here dev zc1 nud permanent" \
			"neigh replace fd77::1 lladdr $here dev zc1 nud permanent"
}

# batch [OPTION... --] "IP COMMAND"...: one process for all of them
batch() {
	local options=()
	if [[ $1 = -* ]]; then
		while [ "$1" != -- ]; do
			options+=("$1")
			shift
		done
		shift
	fi
	printf '%s\n' "$@" | ip "${options[@]}" -batch -
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
			[ "$(<"$dir/address")" = "$1" ] || continue
			ip link set "${dir##*/}" name "$2"
			return
		done
		sleep 0.05
	done
	return 1
}
