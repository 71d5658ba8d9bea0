#!/bin/bash
# rpm.sh installs and uses the rpm package by dnf, from a repository of its own.
# An empty package stands in for a distribution, since this is Debian.
#
# usage: CACHE=DIR tests/system/rpm.sh SUITE     SUITE: of the root below
set -eu
here=$(dirname "$(realpath "$0")")
root=$("$here/root.sh" "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/repo"
cat >"$work/base.spec" <<'END'
Name: base
Version: 1
Release: 1
Summary: stands in for the distribution
License: MIT
Provides: util-linux fuse3 /bin/sh
%description
%files
END
rpmbuild -bb --quiet --define "_topdir $work" "$work/base.spec" >/dev/null 2>&1
cp "$work"/RPMS/*/*.rpm "$here"/../../bin/rpm/tierfs-*.x86_64.rpm "$work/repo"
createrepo_c -q "$work/repo"

# shellcheck disable=SC2016 # the inner shell's
timeout -k 5 "${LIMIT:-120}" unshare -m -p -f --kill-child --propagation private -- bash -uc '
	here=$1 root=$2 work=$3
	. "$here/lib.sh"
	layer "$root"
	mount -t proc proc "$r/proc"
	nodes "$r/dev"
	mount -t tmpfs -o mode=755 run "$r/run"
	mkdir -p "$r"/srv/{fast,slow,docs} "$r/usr/share/licenses"
	echo hello >"$r/srv/fast/f"

	in_root() { chroot "$r" "$@"; }
	yum() {
		dnf -q -y --installroot="$r" --releasever=1 --setopt=cachedir="$work/cache" --setopt=reposdir=/dev/null \
			--repofrompath="here,file://$work/repo" --repo=here --nogpgcheck "$@"
	}
	daemon() { in_root pgrep -f "mount.*tierfs.*/srv/docs"; }

	ok "the stand-in" yum install base
	files "$r" >"$work/before"
	ok "dnf install" yum install tierfs
	ok "fuse3 is recommended" grep -qx fuse3 <<<"$(rpm --root "$r" -q --recommends tierfs)"
	ok "rpm -V finds nothing changed" rpm --root "$r" -V tierfs
	ok "the manual pages are documentation" grep -q mount.tierfs.8.gz <<<"$(rpm --root "$r" -qd tierfs)"
	ok "the command is found" in_root tierfs version
	echo "/srv/fast /srv/docs fuse.tierfs fallback=/srv/slow,nofail 0 0" >>"$r/etc/fstab"
	ok "mount DIR" in_root mount /srv/docs
	ok "it is read" grep -q hello "$r/srv/docs/f"
	first=$(daemon)
	ok "reinstall while mounted" yum reinstall tierfs
	ok "the same daemon serves" test -n "$first" -a "$(daemon)" = "$first"
	ok "it is read" grep -q hello "$r/srv/docs/f"
	ok "remove while mounted" yum remove tierfs
	ok "it is served still" grep -q hello "$r/srv/docs/f"
	ok "umount without the package" in_root umount /srv/docs
	sed -i /fuse.tierfs/d "$r/etc/fstab"
	files "$r" >"$work/after"
	ok "nothing is left" diff "$work/before" "$work/after"
' rpm "$here" "$root" "$work"
