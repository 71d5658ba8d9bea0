#!/bin/sh
# run.sh builds and runs the benchmark, see bench/main.go. What that needs and
# does not find is installed with apt-get.
#
# usage: bench/run.sh [-quick|-scale] [-out DIR] [-json FILE] [-rounds N] [-only REGEXP] [-dir DIR]
#        ARGS, if set, is more of the same: make bench ARGS='-rounds 2'
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

die() {
	echo "bench: $1" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || die 'mounting needs root; run it with sudo'
[ -c /dev/fuse ] || die '/dev/fuse: not there; load the fuse module'
[ -c /dev/loop-control ] || die '/dev/loop-control: not there; load the loop module'

# lacking prints the packages whose programs are not there.
lacking() {
	for need; do
		command -v "${need%%:*}" >/dev/null || printf '%s ' "${need#*:}"
	done
}

apt_install() {
	# shellcheck disable=SC2086 # package names, to be split
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $1 >/dev/null
}

# install gets packages. A fresh image knows none until its first update.
install() {
	[ -n "$1" ] || return 0
	command -v apt-get >/dev/null || return 1
	echo "installing $1" >&2
	apt_install "$1" 2>/dev/null || { apt-get update -q >/dev/null && apt_install "$1"; }
}

need=$(lacking mergerfs:mergerfs fio:fio fusermount3:fuse3 mkfs.ext4:e2fsprogs git:git rsync:rsync tar:tar)
install "$need" || die "not installed: ${need% }; install them"
# The run goes on without these, and says so.
for peer in unionfs:unionfs-fuse bindfs:bindfs; do
	install "$(lacking "$peer")" || echo "bench: ${peer#*:}: cannot be installed, it is left out" >&2
done

make -s build
go build -o bin/bench ./bench

# A high priority, the same for all that is measured, keeps other work on the
# machine out of the figures as far as it goes. It is the one that mergerfs gives
# itself, whatever it is started with.
# shellcheck disable=SC2086 # flags, to be split
exec nice -n -10 bin/bench "$@" ${ARGS:-}
