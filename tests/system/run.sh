#!/bin/bash
# run.sh runs the system tests: the packages in fresh Debian systems, booted with
# their systemd on this kernel and, in virtual machines, on others. It prints TAP.
#
# usage: tests/system/run.sh [NAME...]
#   NAME: deb-SUITE, readme-SUITE, systemd-SUITE, vm-SUITE[-arm64], rpm, samba, cookbook, same; all if none is given
# CACHE, a directory outside of the work tree, keeps what is downloaded, 2 GB.
set -u
here=$(dirname "$(realpath "$0")")
export CACHE=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tierfs-system}
mkdir -p "$CACHE"
cd "$here/../.." || exit 2
[ $# != 0 ] || set -- same deb-bookworm deb-trixie readme-bookworm readme-trixie systemd-bookworm systemd-trixie rpm samba cookbook vm-bookworm vm-trixie vm-trixie-arm64

# go_tests NAME NEEDS runs a package of tests in Go, for which nothing that it needs
# may be missing. It fails as they do.
go_tests() (
	set -o pipefail
	TIERFS_REQUIRE=root,fuse,loop,$2 TIERFS_BIN=$PWD/bin/mount.tierfs go test -count=1 -v "./tests/$1" |
		sed '/^=== /d; /^PASS$/d; s/^ok .*/# done/; s/^ *--- PASS: \([^ ]*\).*/ok - \1/; s/^ *--- FAIL: \([^ ]*\).*/not ok - \1/; s/^ *--- SKIP: \([^ ]*\).*/not ok - \1: skipped/'
)

run() {
	local suite=${1#*-}
	case $1 in
	deb-*) "$here/deb.sh" "$suite" ;;
	readme-*) "$here/readme.sh" "$suite" ;;
	systemd-*) "$here/systemd.sh" "$suite" ;;
	vm-*) "$here/vm.sh" "$suite" ;;
	rpm) "$here/rpm.sh" bookworm ;;
	samba) go_tests samba smbd,smbclient ;; # those of a share, which make test runs too
	cookbook) go_tests cookbook ext4,rsync,gocryptfs,sshfs,sshd,rclone,mergerfs ;;
	same) "$here/same.sh" ;;
	*) echo "no test of that name" && false ;;
	esac 2>&1
}

# Each line of a test gets its number and the name of what it belongs to. One that
# came to no end, or ended with an error, has failed.
for name; do
	run "$name" | sed "s/^\(not \)*ok - /\1ok - $name: /; /^\(not \)*ok - /!s/^#* */# $name: /"
	status=${PIPESTATUS[0]}
	[ "$status" = 0 ] || echo "not ok - $name: exit $status"
done | awk '
	BEGIN { print "TAP version 13" }
	/^ok - / { sub(/^ok/, "ok " ++n); passed++ }
	/^not ok - / { sub(/^not ok/, "not ok " ++n); failed++ }
	{ print; fflush() }
	END { print "1.." n; print passed + 0 " passed, " failed + 0 " failed"; exit failed != 0 || n == 0 }'
