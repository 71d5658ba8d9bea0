#!/bin/sh
# move.sh measures how long tierfs takes to demote large and small files beside
# rsync -a --remove-source-files between the same directories, which moves files
# without any of the promises: nothing is synced, and nobody is asked whether he
# has the file open. So rsync is shown twice, by itself and with sync(1) after it.
#
# Rounds are interleaved, each begins with fresh filesystems and cold caches, and
# the lowest of each is kept. It works in a mount namespace of its own.
#
# usage: bench/move.sh
#        LARGE=10240   MiB in files of 100 MiB
#        SMALL=100000  files of 4 KiB, 100 in a directory
#        ROUNDS=3      DIR=/var/tmp  where the images of the two disks go
set -eu

die() {
	echo "bench-move: $*" >&2
	exit 1
}

LARGE=${LARGE:-10240} SMALL=${SMALL:-100000} ROUNDS=${ROUNDS:-3} DIR=${DIR:-/var/tmp}

if [ "${1:-}" != inside ]; then
	cd "$(dirname "$0")/.."
	[ "$(id -u)" = 0 ] || die 'mounting needs root; run it with sudo'
	command -v rsync >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -q rsync
	make -s build
	work=$(mktemp -d "$DIR/bench-move.XXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM HUP
	LARGE=$LARGE SMALL=$SMALL ROUNDS=$ROUNDS unshare --mount --propagation private "$0" inside "$work" "$PWD/bin"
	exit
fi

work=$2 bin=$3
fast=$work/fast slow=$work/slow docs=$work/docs
mkdir "$fast" "$slow" "$docs"
cp "$bin/mount.tierfs" "$work/mount.tierfs"
ln -s mount.tierfs "$work/tierfs"

end() {
	for dir in "$docs" "$fast" "$slow"; do
		mountpoint -q "$dir" && umount -l "$dir"
	done
	return 0
}
trap end EXIT
trap 'exit 130' INT TERM HUP

# fresh makes both disks anew.
fresh() {
	end
	rm -f "$work"/*.img
	for disk in "$fast" "$slow"; do
		truncate -s $((LARGE * 3 / 2 + 2048))M "$disk.img"
		mkfs.ext4 -q -F -N $((SMALL * 2 + 10000)) -E lazy_itable_init=0,lazy_journal_init=0 "$disk.img"
		mount -o loop "$disk.img" "$disk"
		mkdir "$disk/tier"
	done
}

# fill puts the files of a kind on the fast disk, a little older than a minute: a
# file that has just been changed does not move.
fill() {
	case $1 in
	large)
		i=0
		while [ $i -lt $((LARGE / 100)) ]; do
			head -c 104857600 /dev/urandom >"$fast/tier/$i"
			i=$((i + 1))
		done
		;;
	small)
		head -c $((SMALL * 4096)) /dev/urandom | (cd "$fast/tier" && split -a 6 -b 4096 --numeric-suffixes - f)
		(cd "$fast/tier" && for f in f*00; do
			mkdir "d${f%00}" && mv "${f%00}"?? "d${f%00}"
		done)
		;;
	esac
	sync
	sleep 61
	echo 3 >/proc/sys/vm/drop_caches
}

now() { date +%s%N; }

# took runs a command and prints how long it took, in milliseconds.
took() {
	begun=$(now)
	"$@" >&2
	echo $((($(now) - begun) / 1000000))
}

rsynced() { rsync -a --remove-source-files "$fast/tier/" "$slow/tier/"; }

measure() {
	fresh
	fill "$1"
	case $2 in
	tierfs)
		"$work/mount.tierfs" "$fast/tier" "$docs" -o "fallback=$slow/tier"
		took sh -c "'$work/tierfs' demote --json '$docs' >/dev/null"
		;;
	rsync) took rsynced ;;
	rsync+sync) took sh -c "rsync -a --remove-source-files '$fast/tier/' '$slow/tier/' && sync -f '$slow'" ;;
	esac
	left=$(find "$fast/tier" -type f -not -path '*/.tierfs/*' | wc -l)
	[ "$left" = 0 ] || die "$2 has left $left $1 files"
}

lowest() { sort -n "$work/$1.$2" | head -n 1; }

for round in $(seq "$ROUNDS"); do
	for kind in large small; do
		for subject in rsync tierfs rsync+sync; do
			measure $kind $subject >>"$work/$kind.$subject"
			echo "round $round: $kind, $subject: $(tail -n 1 "$work/$kind.$subject") ms" >&2
		done
	done
done
uname -srm
"$work/tierfs" version
echo "$LARGE MiB in files of 100 MiB, $SMALL files of 4 KiB; lowest of $ROUNDS rounds"
for kind in large small; do
	mine=$(lowest $kind tierfs)
	for peer in rsync rsync+sync; do
		echo "$kind: tierfs $mine ms, $peer $(lowest $kind $peer) ms: $(awk "BEGIN { printf \"%.2f\", $mine / $(lowest $kind $peer) }") of its time"
	done
done
