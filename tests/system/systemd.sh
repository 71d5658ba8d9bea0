#!/bin/bash
# systemd.sh boots a fresh Debian with the package: systemd as the first process
# of namespaces of its own, on this machine's kernel.
#
# usage: CACHE=DIR tests/system/systemd.sh SUITE
set -eu
here=$(dirname "$(realpath "$0")")
root=$("$here/root.sh" "$1")
out=$(mktemp -d) group=/sys/fs/cgroup/tierfs-system.$$
[ ! -d /sys/fs/cgroup/unified ] || group=/sys/fs/cgroup/unified/tierfs-system.$$
mkdir "$out"/{journal,srv} "$group"
: >"$out/result"
trap 'find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true; rm -rf "$out"' EXIT

# shellcheck disable=SC2016 # the inner shell's
timeout -k 5 "${LIMIT:-120}" unshare -m -p -f -u -i --kill-child --propagation private -- bash -euc '
	here=$1 root=$2 out=$3 group=$4
	. "$here/lib.sh"
	layer "$root"
	mount --bind "$out/srv" "$r/srv"
	"$here/prepare.sh" "$r" "$here"/../../bin/deb/tierfs_*_amd64.deb
	mount --bind "$out/journal" "$r/var/log/journal"
	touch "$r/opt/tests/result"
	mount --bind "$out/result" "$r/opt/tests/result"
	mount -t proc proc "$r/proc"
	mount -t sysfs -o ro sys "$r/sys"
	nodes "$r/dev"
	mount -t devpts -o newinstance,ptmxmode=666 pts "$r/dev/pts"
	ln -s pts/ptmx "$r/dev/ptmx"
	mknod -m 600 "$r/dev/console" c 1 3
	mount -t tmpfs -o mode=755 run "$r/run"
	echo 0 >"$group/cgroup.procs"
	exec unshare -C bash -euc "
		mount -t cgroup2 cgroup $r/sys/fs/cgroup
		mkdir $r/old
		cd $r
		pivot_root . old
		cd /
		umount -l /old
		mount --make-rshared /
		exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal"
' systemd "$here" "$root" "$out" "$group" >"$out/console" 2>&1 || true

cat "$out/result"
"$here/after.sh" "$out"
grep -q '^# done' "$out/result" || sed 's/^/# console: /' "$out/console"
