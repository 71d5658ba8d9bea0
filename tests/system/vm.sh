#!/bin/bash
# vm.sh boots a fresh Debian with the package and its own kernel, in a virtual
# machine that is emulated: it takes a minute or so, and that of arm64 three.
#
# usage: CACHE=DIR tests/system/vm.sh SUITE[-arm64]
set -eu
here=$(dirname "$(realpath "$0")")
root=$("$here/root.sh" "$1") kernel=$("$here/kernel.sh" "$1")
case $1 in *-arm64) arch=arm64 ;; *) arch=amd64 ;; esac
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
image=$out/image

# shellcheck disable=SC2016 # the inner shell's
unshare -m --propagation private -- bash -euc '
	here=$1 root=$2 kernel=$3 image=$4 arch=$5
	. "$here/lib.sh"
	layer "$root"
	echo "/dev/nvme0n1 / ext4 defaults 0 1" >"$r/etc/fstab"
	"$here/prepare.sh" "$r" "$here"/../../bin/deb/tierfs_*_$arch.deb
	modules=$(echo "$kernel"/usr/lib/modules/* "$kernel"/lib/modules/* | tr " " "\n" | grep -v "[*]")
	mkdir -p "$r/usr/lib/modules/${modules##*/}/kernel"
	cp "$modules"/modules.* "$r/usr/lib/modules/${modules##*/}/"
	cp -a "$modules"/kernel/{fs,lib,crypto} "$r/usr/lib/modules/${modules##*/}/kernel/"
	depmod -b "$r" "${modules##*/}"
	truncate -s 900M "$image"
	mke2fs -q -t ext4 -d "$r" "$image"
' vm "$here" "$root" "$kernel" "$image" "$arch" >"$out/console" 2>&1 || { tail -n 5 "$out/console" && exit 1; }

"$here/machine.sh" "$1" "$image" "$out/console" || true

# The tiers and the journal, as they are without a machine.
debugfs -R "rdump /srv $out" "$image" >/dev/null 2>&1
debugfs -R "rdump /var/log/journal $out" "$image" >/dev/null 2>&1
debugfs -R "dump /opt/tests/result $out/result" "$image" >/dev/null 2>&1
cat "$out/result"
"$here/after.sh" "$out"
# shellcheck source=/dev/null # a file beside this one
. "$here/lib.sh"
ok "shutdown: the root filesystem is clean" e2fsck -fn "$image"
grep -q '^# done' "$out/result" || tail -n 30 "$out/console" | sed 's/^/# console: /'
