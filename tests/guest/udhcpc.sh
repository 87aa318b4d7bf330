#!/bin/sh
# udhcpc's script, in guests and namespaces alike: configures the interface and
# nothing else of the machine, and writes the lease as KEY=VALUE lines to the
# file that LEASE_FILE names.
set -eu

case $1 in
bound | renew)
	ip addr flush dev "$interface"
	ip addr add "$ip/${mask:-24}" brd + dev "$interface"
	if [ -n "${router:-}" ]; then
		ip route replace default via "${router%% *}" dev "$interface"
	fi
	{
		echo "event=$1"
		for key in ip mask broadcast router dns domain lease serverid hostname mtu; do
			eval "value=\${$key:-}"
			# shellcheck disable=SC2154
			echo "$key=$value"
		done
	} >"$LEASE_FILE.new"
	mv "$LEASE_FILE.new" "$LEASE_FILE"
	;;
deconfig)
	ip link set "$interface" up
	ip addr flush dev "$interface"
	;;
nak)
	echo "event=nak" >"$LEASE_FILE"
	;;
esac
