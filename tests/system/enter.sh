#!/bin/bash
# enter.sh runs a command in a root, with mounts, processes, /proc, /dev and /run
# of its own. What it writes goes to a layer in memory. When it ends, everything
# that it mounted is gone, and every daemon.
#
# usage: tests/system/enter.sh ROOT DIR COMMAND...     DIR is seen as /mnt
set -eu
# shellcheck disable=SC2016 # the inner shell's
exec timeout -k 5 "${LIMIT:-120}" unshare -m -p -f --kill-child --propagation private -- bash -euc '
	here=$1 root=$2 shared=$3; shift 3
	. "$here/lib.sh"
	layer "$root"
	mkdir -p "$r/mnt" "$r/old"
	mount --bind "$shared" "$r/mnt"
	mount -t proc proc "$r/proc"
	mount -t sysfs -o ro sys "$r/sys"
	nodes "$r/dev"
	mount -t tmpfs -o mode=755 run "$r/run"
	mkdir "$r/run/mount" "$r/run/lock"
	cd "$r"
	pivot_root . old
	cd /
	umount -l /old
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
' enter "$(dirname "$(realpath "$0")")" "$(realpath "$1")" "$(realpath "$2")" "${@:3}"
