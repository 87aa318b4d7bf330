#!/bin/sh
# dhclient's script for the tests: configures the interface in its namespace
# and nothing else (Debian's own would write the machine's resolv.conf), and
# writes the lease to LEASE_FILE with the keys of guest/udhcpc.sh.
set -eu

case $reason in
PREINIT)
	ip link set "$interface" up
	;;
BOUND | RENEW | REBIND | REBOOT)
	ip addr flush dev "$interface"
	ip addr add "$new_ip_address/$new_subnet_mask" brd + dev "$interface"
	if [ -n "${new_routers:-}" ]; then
		ip route replace default via "${new_routers%% *}" dev "$interface"
	fi
	{
		echo "event=$reason"
		echo "ip=$new_ip_address"
		echo "mask=$new_subnet_mask"
		echo "broadcast=${new_broadcast_address:-}"
		echo "router=${new_routers:-}"
		echo "dns=${new_domain_name_servers:-}"
		echo "domain=${new_domain_name:-}"
		echo "lease=${new_dhcp_lease_time:-}"
		echo "serverid=${new_dhcp_server_identifier:-}"
		echo "hostname=${new_host_name:-}"
		echo "mtu=${new_interface_mtu:-}"
	} >"$LEASE_FILE.new"
	mv "$LEASE_FILE.new" "$LEASE_FILE"
	;;
EXPIRE | FAIL | RELEASE)
	ip addr flush dev "$interface"
	;;
esac
