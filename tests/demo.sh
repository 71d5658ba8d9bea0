#!/bin/sh
# demo.sh shows a mount at work: two directories, one tree, and a file that moves
# from one to the other. It prints each command that it runs.
#
# All of it happens in a mount namespace of its own, on two small tmpfs: nothing
# is installed, the machine sees no mount, and an end of any kind leaves nothing.
set -eu

die() {
	echo "demo: $*" >&2
	exit 1
}

# The outer half: a namespace, and a directory to remove afterwards.
if [ "${1:-}" != inside ]; then
	cd "$(dirname "$0")/.."
	[ "$(id -u)" = 0 ] || die 'not root: a mount namespace needs root; run sudo make demo'
	[ -c /dev/fuse ] || die '/dev/fuse: missing; run modprobe fuse, or give the container the device'
	[ -x bin/mount.tierfs ] || die 'bin/mount.tierfs: missing; run make first'
	dir=$(mktemp -d /tmp/demo.XXX)
	trap 'rm -rf "$dir"' EXIT
	trap 'exit 130' INT TERM HUP
	unshare --mount --propagation private "$0" inside "$dir" "$PWD/bin/mount.tierfs"
	exit
fi

dir=$2 helper=$3
PATH=${helper%/*}:$PATH

end() {
	mountpoint -q "$dir/docs" && umount -l "$dir/docs"
	return 0
}
trap end EXIT
trap 'exit 130' INT TERM HUP

say() {
	printf '\n# %s\n' "$*"
}

run() {
	printf '$ %s\n' "$*"
	eval "$*"
}

# install_helper puts the binary where mount(8) looks for it, in this namespace
# only. Where the kernel has no overlayfs the helper is called by its path, with
# the same arguments.
install_helper() {
	mkdir "$dir/sbin"
	cp "$helper" "$dir/sbin/mount.fuse.tierfs"
	sbin=$(realpath /sbin)
	mount='mount -t fuse.tierfs'
	mount -t overlay -o "lowerdir=$dir/sbin:$sbin" demo "$sbin" 2>/dev/null || mount=$helper
}

install_helper
fast=$dir/fast slow=$dir/slow docs=$dir/docs
mkdir "$fast" "$slow" "$docs"
mount -t tmpfs -o mode=755,size=64M fast "$fast"
mount -t tmpfs -o mode=755,size=256M slow "$slow"
mkdir "$fast/2025" "$slow/2025" "$slow/2019"
echo 'offer 31' >"$fast/2025/offer.txt"
echo 'minutes of May' >"$slow/2025/minutes.txt"
echo 'invoice 7' >"$slow/2019/invoice.txt"
head -c 3000000 /dev/urandom >"$slow/2019/scan.tif"

say 'Two directories, each on a filesystem of its own.'
run "find $fast $slow -type f | sort"

say 'One mount shows them as one tree. The line for /etc/fstab would be:'
echo "#   $fast  $docs  fuse.tierfs  fallback=$slow,nofail,x-systemd.requires-mounts-for=$slow  0 0"
run "$mount $fast $docs -o fallback=$slow"
run "findmnt -o SOURCE,TARGET,FSTYPE $docs"
run "ls -R $docs"

say 'A document that only the fallback has is read under the same tree.'
run "cat $docs/2019/invoice.txt"

say 'A new document goes to the primary, where its directory is.'
run "echo 'offer 32' >$docs/2025/offer-32.txt"
run "ls $fast/2025"

say 'A document on the fallback is changed there, in place.'
run "echo 'paid in May' >>$docs/2019/invoice.txt"
run "cat $slow/2019/invoice.txt"

say 'A directory that only the fallback has takes its new documents too.'
run "echo 'reminder' >$docs/2019/reminder.txt"
run "ls $slow/2019"

say 'Free space is the sum; what the tree takes is what the two take.'
run "df -h $fast $slow $docs"
run "du -sk --exclude=.tierfs $fast $slow $docs"

say 'What nobody has touched for the age of demote= moves down by itself: 90d in real'
echo '# life, two seconds here. Its path stays the same.'
run "echo 'letter 12' >$docs/2025/letter.txt"
run "tierfs where $docs/2025/letter.txt"
if [ "$mount" = "$helper" ]; then
	run "$helper $fast $docs -o remount,demote=2s"
else
	run "mount -o remount,demote=2s $docs"
fi
echo "\$ while [ -e $fast/2025/letter.txt ]; do sleep 0.2; done   # some seconds"
tries=0
while [ -e "$fast/2025/letter.txt" ]; do
	sleep 0.2
	tries=$((tries + 1))
	[ $tries -lt 150 ] || die 'the letter has not moved in 30 seconds'
done
run "tierfs where $docs/2025/letter.txt"
run "cat $docs/2025/letter.txt"

say 'What the daemon served. From Linux 6.9 on there is no READ and no WRITE: the'
echo '# kernel reads and writes the files itself.'
run "tierfs status $docs"

say 'Without the mount every document is still a plain file in a plain directory.'
run "umount $docs"
run "find $fast $slow -type f -not -path '*/.tierfs/*' | sort"
