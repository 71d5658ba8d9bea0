#!/bin/bash
# vm.sh boots a fresh Debian with the package and its own kernel, in a virtual
# machine that is emulated: it takes a minute or so.
#
# usage: CACHE=DIR tests/system/vm.sh SUITE
set -eu
here=$(dirname "$(realpath "$0")")
root=$("$here/root.sh" "$1") kernel=$("$here/kernel.sh" "$1")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
image=$out/image

# shellcheck disable=SC2016 # the inner shell's
unshare -m --propagation private -- bash -euc '
	here=$1 root=$2 kernel=$3 image=$4
	. "$here/lib.sh"
	layer "$root"
	echo "/dev/nvme0n1 / ext4 defaults 0 1" >"$r/etc/fstab"
	"$here/prepare.sh" "$r" "$here"/../../bin/deb/tierfs_*_amd64.deb
	modules=$(echo "$kernel"/usr/lib/modules/* "$kernel"/lib/modules/* | tr " " "\n" | grep -v "[*]")
	mkdir -p "$r/usr/lib/modules/${modules##*/}/kernel"
	cp "$modules"/modules.* "$r/usr/lib/modules/${modules##*/}/"
	cp -a "$modules"/kernel/{fs,lib,crypto} "$r/usr/lib/modules/${modules##*/}/kernel/"
	chroot "$r" depmod "${modules##*/}"
	truncate -s 900M "$image"
	mke2fs -q -t ext4 -d "$r" "$image"
' vm "$here" "$root" "$kernel" "$image" >"$out/console" 2>&1 || { tail -n 5 "$out/console" && exit 1; }

timeout -k 5 "${LIMIT:-240}" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max,cx16=off -smp 2 -m 768 \
	-display none -nodefaults -no-reboot -kernel "$kernel"/boot/vmlinuz-* \
	-append 'root=/dev/nvme0n1 rw console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off random.trust_cpu=on' \
	-drive "if=none,id=disk,file=$image,format=raw,cache=unsafe" -device nvme,drive=disk,serial=disk \
	-device virtio-rng-pci -serial "file:$out/console" </dev/null >"$out/qemu" 2>&1 || true

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
