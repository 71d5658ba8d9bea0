#!/bin/sh
# requirements.sh installs what the tests and the lint use, where it is missing.
#
# Each line of the list names a command that proves a tool is there, and the
# Debian package that brings it. When everything is in place nothing is
# installed and the network is not touched. Without root or apt-get the missing
# packages are named, and the tests that need them skip themselves and say so.
#
# usage: tests/requirements.sh [WHAT]     WHAT: test, or one of those in the first column
set -eu

# The C compiler serves the race detector alone: the product is built without.
# Of the C library's headers, stdlib.h stands for all.
wanted() {
	cat <<-END
		test,demo,system  fusermount3  fuse3
		test,demo  unshare             util-linux
		test,demo  mount               mount
		test,demo  du                  coreutils
		test  getfacl                  acl
		test  getfattr                 attr
		test  chattr                   e2fsprogs
		test  mkfs.ext4                e2fsprogs
		test  mkfs.xfs                 xfsprogs
		test  mkfs.btrfs               btrfs-progs
		test  setquota                 quota
		test  setcap                   libcap2-bin
		test  findmnt                  util-linux
		test,system  smbd              samba
		test,system  smbclient         smbclient
		test,system  /usr/share/doc/samba-vfs-modules  samba-vfs-modules
		test  ps                       procps
		test  ganesha.nfsd             nfs-ganesha-vfs
		test  nfs-ls                   libnfs-utils
		test  curl                     curl
		test  strace                   strace
		test  git                      git
		test  shellcheck               shellcheck
		test  mandoc                   mandoc
		test  zsh                      zsh
		test  fish                     fish
		test  gcc                      gcc
		test  /usr/include/stdlib.h    libc6-dev
		deb,system  dh                 debhelper
		deb,system  dpkg-buildpackage  dpkg-dev
		deb,system  fakeroot           fakeroot
		deb,system  lintian            lintian
		rpm,system  rpmbuild           rpm
		rpm,system  rpmlint            rpmlint
		system  dnf                    dnf
		system  createrepo_c           createrepo-c
		system  debootstrap            debootstrap
		system  qemu-system-x86_64     qemu-system-x86
		system  qemu-system-aarch64    qemu-system-arm
		system  journalctl             systemd
		system  depmod                 kmod
		system  gocryptfs              gocryptfs
		system  mergerfs               mergerfs
		system  rsync                  rsync
		system  sshd                   openssh-server
		system  sshfs                  sshfs
		system  rclone                 rclone
		system  debugfs                e2fsprogs
	END
}

present() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

lacking() {
	wanted | while read -r kinds proof package; do
		case ,$kinds, in *,"${1:-test}",*) present "$proof" || echo "$package" ;; esac
	done | sort -u | tr '\n' ' '
}

apt_install() {
	# shellcheck disable=SC2086 # a list of package names, to be split
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $1 >/dev/null
}

# No service that a package brings is to start: the tests run their own.
keep_services_down() {
	policy=/usr/sbin/policy-rc.d
	[ ! -e $policy ] || return 0
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
}

# mkfs and quota tools live in sbin, which an ordinary user's PATH may lack.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
packages=$(lacking "$@")
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! present apt-get; then
	echo "not installed: ${packages}(root with apt-get could)" >&2
	exit 0
fi
echo "installing $packages"
keep_services_down
# A fresh image knows no package until its first update.
apt_install "$packages" 2>/dev/null || { apt-get update -q >/dev/null && apt_install "$packages"; } ||
	echo "tests/requirements.sh: could not install $packages" >&2
