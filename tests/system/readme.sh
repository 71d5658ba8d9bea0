#!/bin/bash
# readme.sh follows README.md in a fresh root: the package is installed, and each
# command shown is typed in and has to say what is shown.
#
# usage: CACHE=DIR tests/system/readme.sh SUITE
set -eu
here=$(dirname "$(realpath "$0")")
shared=$(mktemp -d)
trap 'rm -rf "$shared"' EXIT
cp "$here"/{lib,readme-inside}.sh "$here/../../README.md" "$shared"
mkdir -p "$shared/bin/deb"
cp "$here"/../../bin/deb/tierfs_*_amd64.deb "$shared/bin/deb"
root=$("$here/root.sh" "$1")
LIMIT=240 "$here/enter.sh" "$root" "$shared" bash /mnt/readme-inside.sh
