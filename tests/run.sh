#!/bin/sh
# run.sh runs all tests: the packages' own under the race detector, then those
# that mount the built binary. It ends with a count, and with what this machine
# could not show.
#
# usage: TIERFS_BIN=bin/mount.tierfs tests/run.sh
#        ARGS, if set, goes to go test: ARGS='-run Rename -v'
set -u
cd "$(dirname "$0")/.." || exit 2

# capabilities names what this machine has, in the words of harness.Require. A
# test that would skip for want of one of them fails instead: a promise that the
# machine can check must not go unchecked in silence.
capabilities() {
	[ "$(id -u)" = 0 ] || return 0
	echo root
	[ -c /dev/fuse ] && echo fuse
	[ -c /dev/loop-control ] && echo loop
	for program in fusermount3 strace smbd smbclient; do
		present $program && echo $program
	done
	for fs in ext4 xfs btrfs; do
		present "mkfs.$fs" && grep -qw "$fs" /proc/filesystems && echo "$fs"
	done
	grep -qw overlay /proc/filesystems && echo overlay
	# FUSE passthrough came with Linux 6.9.
	release=$(uname -r)
	major=${release%%.*} minor=${release#*.} minor=${minor%%[!0-9]*}
	[ $((major * 1000 + minor)) -ge 6009 ] && echo passthrough
	return 0
}

present() {
	command -v "$1" >/dev/null 2>&1
}

# mounting lists the packages whose tests mount, those first that take long: last, one would
# run alone. The recipes of the cookbook, with all that they need, are of make system.
mounting() {
	go list ./tests/... | awk '!/\/cookbook$/ { print (/\/(faults|move)$/ ? 0 : 1), $0 }' | sort | cut -d' ' -f2
}

# go test -v, less the lines that only say that a test began or went well. What vet
# has to say is of lint.sh.
tests() {
	failed=0
	# shellcheck disable=SC2086 # flags, to be split
	CGO_ENABLED=$cgo go test -vet=off -v -count=1 $race -timeout 20m ${ARGS:-} ./internal/... ./mount.tierfs/... ./bench 2>&1 || failed=1
	# shellcheck disable=SC2046,SC2086
	TMPDIR=$scratch go test -vet=off -v -count=1 -timeout 60m ${ARGS:-} $(mounting) 2>&1 || failed=1
	return $failed
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'umount -ql "$work/scratch"; rm -rf --one-file-system "$work"' EXIT
# Disks for tests are images in memory where that can be had: nobody wants them after.
scratch=$work/scratch
mkdir "$scratch" && chmod 711 "$work"
mount -t tmpfs tests "$scratch" 2>/dev/null || chmod 1777 "$scratch"
TIERFS_SKIPLOG=${TIERFS_SKIPLOG:-$work/skips}
TIERFS_REQUIRE=${TIERFS_REQUIRE-$(capabilities | paste -sd, -)}
TIERFS_BIN=$(realpath "${TIERFS_BIN:-bin/mount.tierfs}")
export TIERFS_SKIPLOG TIERFS_REQUIRE TIERFS_BIN

# The race detector is C.
race=-race cgo=1
if ! present "${CC:-gcc}"; then
	echo "no C compiler: tests run without the race detector"
	echo "all: missing gcc: no race detector" >>"$TIERFS_SKIPLOG"
	race='' cgo=0
fi

echo "required of this machine: ${TIERFS_REQUIRE:-nothing}"
{ tests && echo ok >"$work/ok"; } | awk -f tests/tally.awk

if [ -s "$TIERFS_SKIPLOG" ]; then
	echo "not shown: $(sed 's/^[^:]*: //' "$TIERFS_SKIPLOG" | sort | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)/\2 (\1)/' | paste -sd';' - | sed 's/;/; /g')"
else
	echo "not shown: nothing"
fi
[ -e "$work/ok" ]
