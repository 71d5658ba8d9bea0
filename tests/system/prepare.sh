#!/bin/bash
# prepare.sh puts into a root what both boots, in namespaces and in a virtual
# machine, have in common: the package, an fstab and its directories, users, and
# the tests as a service.
#
# usage: tests/system/prepare.sh ROOT DEB
set -eu
here=$(dirname "$(realpath "$0")") r=$1

cp "$2" "$r/tmp/tierfs.deb"
chroot "$r" dpkg -i /tmp/tierfs.deb >/dev/null
rm "$r/tmp/tierfs.deb"

chroot "$r" useradd -m u1
mkdir -p "$r"/srv/{fast/mine,slow,docs,auto,gone,fast2,slow2,low,noprimary,high,nofallback,top,nodisk,home,oldhome,fast3,slow3,real/docs,bad,twice}
mkdir -p "$r/srv/one fast" "$r/srv/my docs" "$r/srv/50% off,\"really\""
ln -s real "$r/srv/link"
for file in fast/f fast2/f home/new oldhome/old "50% off,\"really\"/f" slow3/f; do echo hello >"$r/srv/$file"; done
chroot "$r" chown u1: /srv/fast/mine
chroot "$r" install -d -o u1 /home/u1/{fast,slow,docs}
cat "$here/fstab" >>"$r/etc/fstab"

# A stand-in for smbd, and what the cookbook has it wait for.
mkdir -p "$r/etc/systemd/system/smbd.service.d"
cat >"$r/etc/systemd/system/smbd.service" <<'END'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=grep -q hello /srv/docs/f
[Install]
WantedBy=multi-user.target
END
chroot "$r" systemctl -q enable smbd.service 2>/dev/null
sed -n '/^## A Samba share/,/^\*\*Watch/{/^    \[Unit\]/,/^$/s/^    //p}' "$here/../../docs/cookbook.md" \
	>"$r/etc/systemd/system/smbd.service.d/tierfs.conf"

mkdir "$r/opt/tests"
cp "$here"/{lib,inside}.sh "$r/opt/tests"
cat >"$r/etc/systemd/system/tests.service" <<'END'
[Unit]
After=multi-user.target
[Service]
ExecStart=bash /opt/tests/inside.sh
StandardOutput=append:/opt/tests/result
StandardError=append:/opt/tests/result
TimeoutStopSec=2
[Install]
WantedBy=multi-user.target
END
chroot "$r" systemctl -q enable tests.service 2>/dev/null
for unit in getty@tty1 serial-getty@ttyS0 console-getty systemd-timesyncd systemd-logind e2scrub_reap; do
	ln -sf /dev/null "$r/etc/systemd/system/$unit.service"
done
for unit in apt-daily apt-daily-upgrade man-db e2scrub_all fstrim dpkg-db-backup; do
	ln -sf /dev/null "$r/etc/systemd/system/$unit.timer"
done
echo guest >"$r/etc/hostname"
: >"$r/etc/machine-id"
mkdir -p "$r/var/log/journal"
