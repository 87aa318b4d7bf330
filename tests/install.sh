#!/bin/bash
# Installs what the tests need on a Debian 12 machine that has only Rust, gcc
# and root: the packages below, a guest (kernel and initramfs) for qemu under
# target/guest, a clean Debian under target/debian/root to install the package
# in, and cargo-deb under target/tools. Does nothing, quickly, where all of it
# is there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$here/../target}")
guest=$target/guest

packages=(
	atftp              # a TFTP client with windows
	bash-completion    # what completes the commands
	busybox-static     # the guest's user space, udhcpc, nc
	ca-certificates
	cpio               # packs the initramfs
	curl               # asks the control socket
	dbus-daemon        # for firewalld
	dnsmasq-base       # the LAN's own DHCP server
	debootstrap        # a clean Debian
	dhcpcd-base        # dhcpcd
	docker.io          # a host whose firewall drops what it forwards
	ethtool            # offloads on and off
	faketime           # a wall clock that is set for one program
	firewalld          # another one
	g++                # builds libFuzzer, for the fuzz targets
	fish               # a shell that completes
	groff-base         # formats man pages
	ipxe-qemu          # the ROM that boots guests from the network
	iperf3
	strace
	kea-admin          # perfdhcp
	kea-dhcp4-server   # measured beside vmlan
	iproute2           # namespaces
	iptables
	iputils-arping
	iputils-ping
	isc-dhcp-client    # dhclient
	libnss-libvirt     # names of libvirt's guests
	libvirt-clients    # virsh
	libvirt-daemon-driver-qemu
	libvirt-daemon-system
	mandoc             # finds what is wrong with them
	nftables           # shows and flushes the rules
	procps
	qemu-system-x86
	systemd            # systemd-networkd
	systemd-container  # systemd-nspawn
	tcpdump
	tftp-hpa           # a TFTP client that reads text
	udhcpc
	ufw                # a third one
	util-linux         # setpriv, nsenter
	zsh                # another shell
)

# What virtio-net needs in the guest. Their order varies between kernels: the
# guest's init goes over the list until all are in.
modules=(
	virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci
	failover net_failover virtio_net
)

if [ "$(id -u)" -ne 0 ]; then
	echo "install.sh: must run as root, since it installs packages" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive

# At most one apt-get update a run, and none where nothing is missing.
updated=
update() {
	if [ -z "$updated" ]; then
		apt-get -qq update
		updated=1
	fi
}

missing() {
	local package
	for package in "${packages[@]}"; do
		if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
			echo "$package"
		fi
	done
}

mapfile -t wanted < <(missing)
if [ "${#wanted[@]}" -ne 0 ]; then
	echo "install.sh: installing ${wanted[*]}"
	update
	# None of their daemons is to start in the machine's own network: libvirtd
	# would make a bridge there.
	policy=/usr/sbin/policy-rc.d
	if [ -e "$policy" ]; then
		policy=
	else
		printf '#!/bin/sh\nexit 101\n' | install -m 755 /dev/stdin "$policy"
	fi
	status=0
	apt-get -qq install --yes --no-install-recommends "${wanted[@]}" >/dev/null || status=$?
	[ -z "$policy" ] || rm "$policy"
	[ "$status" -eq 0 ] || exit "$status"
fi

# The kernel is unpacked, not installed: an installed one would ask for a boot
# loader. A cached one is kept, whatever newer one Debian has by now.
mkdir -p "$guest"
if [ ! -s "$guest/vmlinuz" ] || [ ! -d "$guest/modules" ]; then
	update
	kernel=$(apt-cache depends linux-image-cloud-amd64 |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
	if [ -z "$kernel" ]; then
		echo "install.sh: no kernel package behind linux-image-cloud-amd64; is Debian's main in the apt sources?" >&2
		exit 1
	fi
	echo "install.sh: fetching $kernel for the guest"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$kernel")
	dpkg-deb -x "$work"/*.deb "$work/root"
	rm -rf "$guest/modules"
	mkdir "$guest/modules"
	for module in "${modules[@]}"; do
		# A driver that this kernel has built in is no file, and not missed.
		find "$work/root" -name "$module.ko" -exec cp {} "$guest/modules/" \;
	done
	if [ ! -s "$guest/modules/virtio_net.ko" ]; then
		echo "install.sh: $kernel has no virtio_net.ko; is its layout another one now?" >&2
		exit 1
	fi
	cp "$work"/root/boot/vmlinuz-* "$guest/vmlinuz.new"
	mv "$guest/vmlinuz.new" "$guest/vmlinuz"
	rm -f "$guest/inputs"
fi

# The initramfs: busybox, the modules, guest/init.
inputs=$(cat "$here/guest/init" "$here/guest/udhcpc.sh" /bin/busybox "$guest"/modules/*.ko | sha256sum)
if [ ! -s "$guest/initramfs.gz" ] || [ "$inputs" != "$(cat "$guest/inputs" 2>/dev/null)" ]; then
	echo "install.sh: packing the guest's initramfs"
	root=$(mktemp -d)
	trap 'rm -rf "$root" ${work:+"$work"}' EXIT
	mkdir -p "$root"/{bin,dev,etc,lib/modules,proc,sys,tmp}
	cp /bin/busybox "$root/bin/busybox"
	ln -s busybox "$root/bin/sh"
	cp "$guest"/modules/*.ko "$root/lib/modules/"
	install -m 755 "$here/guest/init" "$root/init"
	install -m 755 "$here/guest/udhcpc.sh" "$root/etc/udhcpc.sh"
	(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$guest/initramfs.new"
	mv "$guest/initramfs.new" "$guest/initramfs.gz"
	echo "$inputs" >"$guest/inputs"
fi

# The clean Debian, with what the package's test looks at it with.
debian=$target/debian
if [ ! -x "$debian/root/usr/lib/systemd/systemd" ]; then
	echo "install.sh: making a clean Debian"
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' 'Origin: Debian' | head -n 1)
	rm -rf "$debian/root" "$debian/root.new"
	mkdir -p "$debian"
	debootstrap --variant=minbase \
		--include=systemd,systemd-sysv,dbus,nftables,iproute2,iputils-ping,busybox,procps \
		bookworm "$debian/root.new" "${mirror:-http://deb.debian.org/debian}" >"$debian/log" ||
		{ tail "$debian/log" >&2; exit 1; }
	rm -rf "$debian/root.new"/var/cache/apt/archives/*.deb "$debian/root.new"/var/lib/apt/lists/*
	mv "$debian/root.new" "$debian/root"
fi

# Without optimization: it is built once and run for seconds.
if ! command -v cargo-deb >/dev/null && [ ! -x "$target/tools/bin/cargo-deb" ]; then
	echo "install.sh: building cargo-deb"
	cargo install --quiet --locked --debug --root "$target/tools" cargo-deb@3.8.0
fi
