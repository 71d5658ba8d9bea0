#!/bin/bash
# deb.sh installs and uses the Debian package in a fresh root.
#
# usage: CACHE=DIR tests/system/deb.sh SUITE
set -eu
here=$(dirname "$(realpath "$0")")
shared=$(mktemp -d)
trap 'rm -rf "$shared"' EXIT
cp "$here"/{lib,deb-inside}.sh "$here"/../../bin/deb/tierfs_*_amd64.deb "$shared"
"$here/enter.sh" "$("$here/root.sh" "$1")" "$shared" bash /mnt/deb-inside.sh
