#!/bin/bash
# deb-inside.sh uses the package in a fresh Debian: installs it, mounts by fstab,
# installs it over itself while mounted, and takes it away.
set -u
# shellcheck source=/dev/null # inside the root
. /mnt/lib.sh
deb=$(ls /mnt/tierfs_*_amd64.deb)

mkdir -p /srv/{fast,slow,docs}
echo hello >/srv/fast/f
echo low >/srv/slow/g
useradd -m u1
files / >/tmp/before

ok "dpkg -i" dpkg -i "$deb"
ok "all that it depends on is there" test -z "$(dpkg --audit)"
ok "dpkg -V finds nothing changed" test -z "$(dpkg -V tierfs)"
ok "the command is found" tierfs version
ok "the manual pages are found" man -w mount.tierfs mount.fuse.tierfs 7 tierfs 8 tierfs
echo '/srv/fast /srv/docs fuse.tierfs fallback=/srv/slow,nofail 0 0' >>/etc/fstab
ok "mount DIR" mount /srv/docs
ok "a user reads" runuser -u u1 -- cat /srv/docs/f /srv/docs/g
ok "umount" umount /srv/docs
ok "mount -a" mount -a
ok "mount -a once more" mount -a
ok "it is mounted once" test "$(findmnt -nro FSTYPE,SOURCE /srv/docs)" = "fuse.tierfs /srv/fast"
daemon=$(pgrep -f 'mount.*tierfs.*/srv/docs')
exec 9</srv/docs/g
ok "install over itself while mounted" dpkg -i "$deb"
ok "the same daemon serves" test "$(pgrep -f 'mount.*tierfs.*/srv/docs')" = "$daemon"
ok "what was open is read" grep -q low <&9
exec 9<&-
ok "status of the old daemon by the new command" tierfs status /srv/docs
ok "remove while mounted" dpkg -r tierfs
ok "it is served still" grep -q hello /srv/docs/f
ok "umount without the package" umount /srv/docs
ok "the daemon is gone" soon not pgrep -f 'mount.*tierfs'
ok "purge" dpkg -P tierfs
sed -i '/fuse.tierfs/d' /etc/fstab
files / >/tmp/after
ok "nothing is left" diff /tmp/before /tmp/after
ok "nothing is left in /run" not ls -d /run/tierfs/*
