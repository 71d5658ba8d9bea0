#!/bin/bash
# readme-inside.sh types what README.md shows, as root after "#" and as a user
# after "$", and compares what is said on a terminal with what is shown.
set -u
# shellcheck source=/dev/null # inside the root
. /mnt/lib.sh

# What a machine that is up has: a log, terminals, a user, and two disks.
perl -MSocket -e 'socket S, PF_UNIX, SOCK_DGRAM, 0; bind S, sockaddr_un "/dev/log"; recv S, $_, 65536, 0 while 1' &
mount -t devpts -o newinstance,ptmxmode=666 pts /dev/pts
ln -s pts/ptmx /dev/ptmx
useradd -m u1
mkdir -p /srv/{fast,slow}
for disk in fast slow; do mount -t tmpfs $disk /srv/$disk; done
soon test -S /dev/log

# shown FROM TO prints the commands of some sections, each with what it says, and
# ends each with a zero byte. A block without a prompt is not for a shell.
shown() {
	sed -n "/^## $1/,/^## $2/p" /mnt/README.md | awk '
		function end() { if (command != "") printf "%s%c", command, 0; command = "" }
		/^$/ { blank = "\n"; next }
		!/^    / { end() }
		/^    [#$] / { end(); command = substr($0, 5) }
		/^    [^#$]/ && command != "" { command = command "\n" blank substr($0, 5) }
		{ blank = "" }'
}

# typed COMMAND is what it says, on a terminal, to the one who types it. Of a line
# that is written over the last state counts.
typed() (
	set -o pipefail
	as=(runuser -u u1 --)
	[ "${1:0:1}" = "$" ] || as=()
	cd / && "${as[@]}" script -qec "stty columns 80; ${1:2}" /dev/null </dev/null | sed 's/\r$//; s/.*\r//'
)

install=$(sed -n 's/^    sudo \(apt install \)/\1/p' /mnt/README.md)
ok "$install" bash -c "cd /mnt && $install"

while IFS= read -rd '' command; do
	want=$(tail -n +2 <<<"$command") command=${command%%$'\n'*}
	case $command in *demote*) sleep 61 ;; esac # a minute after its last change a file may move
	got=$(typed "$command") || got+=" [exit $?]"
	text=$command${got:+$'\n'$got}
	echo "# ${text//$'\n'/$'\n# '}"
	ok "$command" diff <(echo "$want") <(echo "$got")
done < <(shown 'Five minutes' Options)
