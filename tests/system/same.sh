#!/bin/bash
# same.sh builds the packages once more, from the packed source in another place,
# at another time, under another umask and time zone, and compares.
#
# usage: tests/system/same.sh
set -eu
here=$(dirname "$(realpath "$0")")
built=$(realpath "$here/../../bin")
# shellcheck source=/dev/null # a file beside this one
. "$here/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077
tar -xzf "$built"/tierfs-*.tar.gz -C "$work"
cd "$work"/tierfs-*
TZ=Asia/Tokyo make deb rpm >"$work/log" 2>&1 || { tail -n 5 "$work/log" && exit 1; }

for file in bin/tierfs-*.tar.gz bin/deb/*.deb bin/deb/*.tar.xz bin/rpm/*.rpm; do
	ok "${file##*/} is the same" cmp "$built/${file#bin/}" "$file"
done
