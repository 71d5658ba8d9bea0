#!/bin/bash
# foreign.sh has the programs of a root that do not run here set themselves up, in a
# machine that is emulated. It takes ten minutes.
#
# usage: CACHE=DIR tests/system/foreign.sh SUITE-arm64
set -eu
here=$(dirname "$(realpath "$0")")
root=$CACHE/$1 image=$CACHE/$1.image
trap 'rm -f "$image"*' EXIT

# debootstrap may have left a link of that name.
rm -rf "$root/proc"
mkdir "$root/proc"
# It reads the list of packages time and again, which there takes a minute each time.
for list in "$root"/var/lib/apt/lists/*_Packages; do
	awk -v names=" $(cat "$root"/debootstrap/{required,base} | tr '\n' ' ') " 'BEGIN { RS = ""; ORS = "\n\n" } index(names, " " $2 " ")' "$list" >"$list.new"
	mv "$list.new" "$list"
done
cat >"$root/setup" <<'END'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
mount -t proc proc /proc
/debootstrap/debootstrap --second-stage && rm /setup
mount -t proc proc /proc # for debootstrap has unmounted it
poweroff -ff
END
chmod +x "$root/setup"
truncate -s 1500M "$image"
mke2fs -q -t ext4 -d "$root" "$image"
LIMIT=3000 "$here/machine.sh" "$1" "$image" "$image.console" init=/setup
cat "$image.console"

# shellcheck disable=SC2016 # the inner shell's
unshare -m --propagation private -- bash -euc '
	mount -o loop "$1" /mnt
	[ ! -e /mnt/setup ]
	rm -rf "$2"
	cp -a /mnt "$2"
	rmdir "$2/lost+found"
' copy "$image" "$root"
