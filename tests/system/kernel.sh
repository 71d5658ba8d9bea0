#!/bin/bash
# kernel.sh unpacks the kernel of a Debian release for virtual machines, once, and
# prints where it is: 6.1 of bookworm, 6.12 of trixie. That of the cloud flavour
# has built in what the machine needs.
#
# usage: CACHE=DIR tests/system/kernel.sh SUITE[-arm64]
set -eu
here=$(dirname "$(realpath "$0")")
root=$("$here/root.sh" "${1%-arm64}") dir=$CACHE/linux-$1
case $1 in *-arm64) arch=arm64 ;; *) arch=amd64 ;; esac

if [ ! -e "$dir.made" ]; then
	rm -rf "$dir"
	mkdir -p "$dir/download"
	cp -L /etc/resolv.conf "$dir/download"
	# shellcheck disable=SC2016 # the inner shell's
	LIMIT=500 "$here/enter.sh" "$root" "$dir/download" bash -euc '
		cp /mnt/resolv.conf /etc/resolv.conf
		dpkg --add-architecture "$1"
		apt-get -q update
		cd /mnt
		apt-get -q download "$(apt-cache depends "linux-image-cloud-$1:$1" | sed -n "s/^ *Depends: //p" | head -n 1)"
	' kernel "$arch" >"$dir.log" 2>&1 || { tail -n 5 "$dir.log" >&2 && exit 1; }
	dpkg-deb -x "$dir"/download/*.deb "$dir"
	rm -r "$dir/download"
	touch "$dir.made"
fi
echo "$dir"
