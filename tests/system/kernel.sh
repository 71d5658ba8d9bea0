#!/bin/bash
# kernel.sh unpacks a Debian kernel for virtual machines, once, and prints where
# it is. Those of the cloud flavour have what the machine needs built in.
#
# usage: CACHE=DIR tests/system/kernel.sh 6.12
set -euo pipefail
dir=$CACHE/linux-$1

if [ ! -e "$dir.made" ]; then
	package=$(apt-cache search --names-only "^linux-image-$1\\.[0-9].*-cloud-amd64\$" | cut -d' ' -f1 | sort -V | tail -n 1)
	[ -n "$package" ] || { echo "no linux-image-$1.*-cloud-amd64 in the package lists" >&2 && exit 1; }
	rm -rf "$dir" && mkdir -p "$dir/download"
	(cd "$dir/download" && apt-get download -q "$package" >"$dir.log" 2>&1) || { cat "$dir.log" >&2 && exit 1; }
	dpkg-deb -x "$dir"/download/*.deb "$dir"
	rm -r "$dir/download"
	touch "$dir.made"
fi
echo "$dir"
