#!/bin/sh
# run.sh builds and runs the benchmark, see bench/main.go. What that needs and
# does not find is installed with apt-get.
#
# usage: bench/run.sh [-quick] [-json FILE] [-rounds N] [-only REGEXP] [-dir DIR]
#        ARGS, if set, is more of the same: make bench ARGS=-quick
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

missing=
for need in mergerfs:mergerfs fio:fio fusermount3:fuse3 mkfs.ext4:e2fsprogs; do
	command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"
done
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null || die "not installed:$missing; install them"
	# shellcheck disable=SC2086 # package names, to be split
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing ||
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing; }
fi

make -s build
go build -o bin/bench ./bench

# A high priority, the same for all that is measured, keeps other work on the
# machine out of the figures as far as it goes.
# shellcheck disable=SC2086 # flags, to be split
exec nice -n -20 bin/bench "$@" ${ARGS:-}
