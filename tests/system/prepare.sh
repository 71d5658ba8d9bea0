#!/bin/bash
# prepare.sh puts into a root what both boots, in namespaces and in a virtual
# machine, have in common: the package, an fstab and its directories, users, and
# the tests as a service. No program of the root is run, for it may be of another
# architecture.
#
# usage: tests/system/prepare.sh ROOT DEB
set -eu
here=$(dirname "$(realpath "$0")") r=$1

dpkg-deb -x "$2" "$r"

useradd --prefix "$r" -m -u 1000 u1
mkdir -p "$r"/srv/{fast/mine,slow,docs,auto,gone,fast2,slow2,low,noprimary,high,nofallback,top,nodisk,home,oldhome,fast3,slow3,real/docs,bad,twice}
mkdir -p "$r/srv/one fast" "$r/srv/my docs" "$r/srv/50% off,\"really\""
ln -s real "$r/srv/link"
for file in fast/f fast2/f home/new oldhome/old "50% off,\"really\"/f" slow3/f; do echo hello >"$r/srv/$file"; done
chown 1000:1000 "$r/srv/fast/mine"
install -d -o 1000 "$r"/home/u1/{fast,slow,docs}
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
systemctl -q --root="$r" enable smbd.service 2>/dev/null
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
systemctl -q --root="$r" enable tests.service 2>/dev/null
for unit in getty@tty1 serial-getty@ttyS0 serial-getty@ttyAMA0 console-getty systemd-timesyncd systemd-logind e2scrub_reap; do
	ln -sf /dev/null "$r/etc/systemd/system/$unit.service"
done
for unit in apt-daily apt-daily-upgrade man-db e2scrub_all fstrim dpkg-db-backup; do
	ln -sf /dev/null "$r/etc/systemd/system/$unit.timer"
done
echo guest >"$r/etc/hostname"
: >"$r/etc/machine-id"
mkdir -p "$r/var/log/journal"
