# shellcheck shell=bash
# What the system tests share.

# ok NAME COMMAND... is one test, and one line of TAP without a number, which
# run.sh gives it.
ok() {
	local name=$1 said
	shift
	if said=$("$@" 2>&1); then
		echo "ok - $name"
	else
		echo "not ok - $name: exit $?: $(tail -n 3 <<<"$said" | tr '\n' ' ')"
	fi
}

# not COMMAND... is for a command that has to fail.
not() {
	! "$@"
}

# soon COMMAND... waits until the command succeeds, ten seconds at most.
soon() {
	local tries=100
	while [ $((tries -= 1)) -gt 0 ]; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	echo "not within ten seconds: $*"
	return 1
}

# layer ROOT sets $r to a root that can be written without changing ROOT. It is
# below /mnt of this mount namespace, which is to be the caller's own.
layer() {
	mount -t tmpfs layer /mnt
	mkdir /mnt/{up,work,root}
	mount -t overlay -o "lowerdir=$1,upperdir=/mnt/up,workdir=/mnt/work" root /mnt/root
	r=/mnt/root
	[ -L "$r/etc/mtab" ] || ln -s ../proc/self/mounts "$r/etc/mtab"
}

# nodes DIR makes a /dev. /dev/fuse is for all, as udev makes it.
nodes() {
	local node name major minor
	mount -t tmpfs -o mode=755 dev "$1"
	for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229 autofs:10:235; do
		IFS=: read -r name major minor <<<"$node"
		mknod -m 666 "$1/$name" c "$major" "$minor"
	done
	ln -s /proc/self/fd "$1/fd"
	mkdir "$1/shm" "$1/pts"
}

# files DIR lists all of a root that a package could leave behind.
files() {
	(cd "$1" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp -o -path ./mnt -o -path ./srv \
		-o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/log -o -path ./var/cache -o -path ./usr/lib/sysimage -o -path ./root \) -prune \
		-o -printf '%p %y %m %u %l\n' | sort)
}
