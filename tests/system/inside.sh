#!/bin/bash
# inside.sh is run by systemd in what was booted, and powers it off at the end.
set -u
# shellcheck source=/dev/null # inside the root
. /opt/tests/lib.sh

# shown UNIT PROPERTY is one property of a unit.
shown() {
	systemctl show -P "$2" "$1"
}

# before UNIT UNIT reports whether the first was up when the second began.
before() {
	local up began
	up=$(shown "$1" ActiveEnterTimestampMonotonic) began=$(shown "$2" InactiveExitTimestampMonotonic)
	[ "$up" -gt 0 ] && [ "$up" -lt "$began" ]
}

# requires UNIT PATH... reports whether the unit has RequiresMountsFor= of all.
requires() {
	local unit=$1 path
	shift
	for path; do grep -qxF "RequiresMountsFor=\"$path\"" "/run/systemd/generator/$unit.d/50-tierfs.conf" || return; done
}

# journal WORDS greps in what was logged since the boot.
journal() {
	journalctl -b --no-pager -o cat | grep -F "$1"
}

# generator_says is what the generator has said: into the kernel's log, which only a
# machine of its own has.
generator_says() {
	if [ -e /dev/kmsg ]; then
		journalctl -b -k --no-pager -o cat -t tierfs-generator
	else
		/usr/lib/systemd/system-generators/tierfs-generator "$(mktemp -d)" 2>&1
	fi
}

daemon() {
	pgrep -of "mount.*tierfs.* $1 "
}

echo "# Linux $(uname -r), systemd $(systemctl --version | awk 'NR == 1 { print $2 }'), $(mount -V | cut -d'(' -f1)"
echo "# $(timeout 120 systemctl is-system-running --wait), failed: $(systemctl --failed --no-legend --plain | awk '{ print $1 }' | tr '\n' ' ')"

ok "boot: the unit is active" systemctl is-active srv-docs.mount
ok "boot: findmnt" test "$(findmnt -nro FSTYPE,SOURCE /srv/docs)" = "fuse.tierfs /srv/fast"
ok "boot: a user reads" runuser -u u1 -- grep -q hello /srv/docs/f
ok "boot: a user cannot write what is root's" not runuser -u u1 -- sh -c 'echo x >>/srv/docs/f'
ok "boot: a user writes" runuser -u u1 -- sh -c 'echo mine >/srv/docs/mine/new && grep -q mine /srv/fast/mine/new'
ok "boot: the daemon is in the unit's cgroup" grep -q srv-docs.mount "/proc/$(daemon /srv/docs)/cgroup"
ok "boot: local-fs.target was reached" systemctl is-active local-fs.target

# reads is how many READ requests the daemon of /srv/docs has had.
reads() {
	tierfs status /srv/docs | sed -n 's/.*READ \([0-9]*\).*/\1/p' | grep . || echo 0
}
case $(uname -r) in
6.[0-8].*) ok "boot: the daemon reads the files for the kernel" test "$(reads)" != 0 ;;
*) ok "boot: the kernel reads the files itself" test "$(reads)" = 0 ;;
esac

ok "files: made, written, renamed, linked" runuser -u u1 -- bash -euc '
	cd /srv/docs/mine; mkdir d; echo one >d/a; echo two >>d/a; mv d/a d/b; ln d/b l; mv l d/a; rm d/a; truncate -s 6 d/b; chmod 640 d/b'
ok "files: listed" test "$(cd /srv/docs && find mine -type f -printf '%p %m %s\n' | sort)" = $'mine/d/b 640 6\nmine/new 644 5'
ok "files: made behind the mount" bash -c '! ls /srv/docs/behind 2>/dev/null && echo here >/srv/slow/behind && . /opt/tests/lib.sh && soon grep -q here /srv/docs/behind'
sleep 1.5
ok "files: one goes down" tierfs demote --older-than 1s /srv/docs/mine/d/b
ok "files: and is there, whole" test "$(cat /srv/slow/mine/d/b) $(ls /srv/fast/mine/d)" = "one
tw "
ok "files: under its path" test "$(stat -c '%s %a %U' /srv/docs/mine/d/b)" = "6 640 u1"
sleep 1.5
ok "files: and comes back" bash -euc 'tierfs promote --older-than 1s /srv/docs/mine/d/b; test -s /srv/fast/mine/d/b -a ! -e /srv/slow/mine/d/b'

ok "generator: the fallback's disk comes first" before srv-slow.mount srv-docs.mount
ok "generator: systemd requires it" grep -q srv-slow.mount <<<"$(shown srv-docs.mount Requires)"
ok "generator: names with spaces, percent, comma and quotes" requires 'srv-my\x20docs.mount' '/srv/one fast' '/srv/50%% off,\"really\"'
ok "generator: systemd reads them" grep -q '/srv/50% off,' <<<"$(shown 'srv-my\x20docs.mount' RequiresMountsFor)"
ok "generator: they are mounted" grep -q hello '/srv/my docs/f'
ok "generator: a link in the mount point's path" requires srv-real-docs.mount /srv/fast3 /srv/slow3
ok "generator: it is mounted where it leads" test "$(findmnt -nro SOURCE /srv/real/docs)" = /srv/fast3
ok "generator: automount and noauto" requires srv-auto.mount /srv/fast2 /srv/slow2
ok "generator: a line that is wrong has none" not test -e /run/systemd/generator/srv-bad.mount.d
ok "generator: nor a line that systemd does not heed" not test -e /run/systemd/generator/srv-twice.mount.d
ok "generator: they are named, and no other" test "$(generator_says | sort -u | grep -c .)" = 2
ok "generator: with what is wrong" grep -q '/etc/fstab: line of "/srv/bad" ignored: demote "soon"' <<<"$(generator_says)"
ok "generator: and what to do" grep -q 'line of "/srv/twice" ignored: .* elsewhere' <<<"$(generator_says)"
ok "generator: of two lines systemd took the first" test "$(findmnt -nro FSTYPE /srv/twice)" = tmpfs
ok "generator: systemd has no complaint" not journal 50-tierfs.conf

ok "automount: not yet up" not findmnt -t fuse.tierfs /srv/auto
ok "automount: up on access" grep -q hello /srv/auto/f
ok "automount: the unit is active" systemctl is-active srv-auto.mount

ok "nofail: a missing primary fails the unit, the boot goes on" systemctl is-failed srv-noprimary.mount
ok "nofail: the log says which and what to do" journal 'mount.tierfs: primary "/srv/missing"'
ok "nofail: a missing fallback fails the unit" systemctl is-failed srv-nofallback.mount
ok "nofail: the log says which" journal 'mount.tierfs: fallback "/srv/missing"'
ok "nofail: without its disk the mount is not tried" not findmnt /srv/nodisk
ok "nofail: and systemd says why" journal 'Dependency failed for srv-nodisk.mount'
ok "nofail: mount -a warns and goes on" grep -q 'mount.tierfs: .*"/srv/missing"' <<<"$(mount -a 2>&1)"

ok "log: systemctl status says why a unit failed" grep -q 'mount.tierfs: demote "soon": want a duration' <<<"$(systemctl status srv-bad.mount)"
ok "log: the daemon says what it mounted" journal '/srv/fast mounted on /srv/docs'

ok "over the primary: both tiers are seen" grep -q hello /srv/home/new /srv/home/old
ok "over the primary: the unit is active" systemctl is-active srv-home.mount

ok "samba: smbd has started" systemctl is-active smbd.service
ok "samba: after the mount, by the drop-in of the cookbook" grep -qw srv-docs.mount <<<"$(shown smbd.service After)"
ok "samba: it was up by then" before srv-docs.mount smbd.service
ok "samba: smbd stops with the mount" bash -c 'systemctl stop srv-docs.mount && ! systemctl -q is-active smbd.service'
ok "samba: smbd brings the mount back" bash -c 'systemctl start smbd.service && findmnt -t fuse.tierfs /srv/docs'

ok "restart" systemctl restart srv-docs.mount
ok "restart: reads" grep -q hello /srv/docs/f
sed -i '/ \/srv\/docs /s/nofail/nofail,demote=30d/' /etc/fstab
first=$(daemon /srv/docs)
ok "reload: daemon-reload with the mount up" systemctl daemon-reload
ok "reload: systemctl reload remounts" systemctl reload srv-docs.mount
ok "reload: the option is in force" grep -q demote=30d <<<"$(tierfs status /srv/docs)"
ok "reload: by the same daemon" test "$(daemon /srv/docs)" = "$first"
ok "a killed daemon: the mount says so" not bash -c "kill -9 $first; sleep 0.3; cat /srv/docs/f"
ok "a killed daemon: restart repairs" systemctl restart srv-docs.mount
ok "a killed daemon: reads" grep -q hello /srv/docs/f

mount -a 2>/dev/null
ok "mount -a twice: each is mounted once" test -z "$(findmnt -nro TARGET -t fuse.tierfs | sort | uniq -d)"
ok "umount makes the unit inactive" bash -c 'umount /srv/docs && . /opt/tests/lib.sh && soon not systemctl -q is-active srv-docs.mount'
mount -a 2>/dev/null
ok "mount -a brings it back" soon systemctl -q is-active srv-docs.mount

ok "user: mount" runuser -u u1 -- mount /home/u1/docs
ok "user: writes" runuser -u u1 -- sh -c 'echo x >/home/u1/docs/x && grep -q x /home/u1/fast/x'
ok "user: root is kept out" not cat /home/u1/docs/x
ok "user: umount" runuser -u u1 -- umount /home/u1/docs

journalctl -b --no-pager -o cat -t mount.tierfs -t tierfs -t mount -t tierfs-generator | grep tierfs | sort -u | head -n 30 | sed 's/^/# log: /'

# The daemon is to live in the unit's cgroup, not in this one's.
systemctl restart srv-docs.mount

# Files are open, one for writing by a process that does not end when it is asked to.
exec 9</srv/docs/f
bash -c 'trap "" TERM; n=0; while :; do echo $((n += 1)); sleep 0.05; done' >/srv/docs/open 2>/dev/null &
sleep 0.5
echo "# done"
sync
systemctl poweroff 2>/dev/null
sleep 60
