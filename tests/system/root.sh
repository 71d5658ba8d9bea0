#!/bin/sh
# root.sh makes a Debian root with systemd as its init, once, and prints where it
# is. What is downloaded, and the root, stay in the cache for the next time.
#
# usage: CACHE=DIR tests/system/root.sh SUITE[-arm64]
set -eu
here=$(dirname "$(realpath "$0")")
suite=${1%-arm64} root=$CACHE/$1
packages=systemd,systemd-sysv,udev,dbus,kmod,mount,fuse3,e2fsprogs,man-db,procps
case $1 in
*-arm64) strap='debootstrap --foreign --arch=arm64' setup=$here/foreign.sh ;;
*) strap=debootstrap setup=true ;;
esac

if [ ! -e "$root.made" ]; then
	rm -rf --one-file-system "$root"
	mkdir -p "$CACHE/debs"
	{ $strap --variant=minbase --cache-dir="$CACHE/debs" --include=$packages "$suite" "$root" && $setup "$1"; } >"$root.log" 2>&1 ||
		{ tail -n 5 "$root.log" >&2 && exit 1; }
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	touch "$root.made"
fi
echo "$root"
