#!/bin/sh
# dist.sh packs the source as it is in the work tree into bin/tierfs-RELEASE.tar.gz,
# byte for byte the same from the same files.
#
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/dist.sh RELEASE
set -eu
cd "$(dirname "$0")/.."
name=tierfs-$1

# What git knows, or in an unpacked release all but what was built.
sources() {
	git ls-files -z --cached --others --exclude-standard --deduplicate 2>/dev/null || find . -path ./bin -prune -o \( -type f -o -type l \) -printf '%P\0'
}

mkdir -p bin
sources | sort -z | tar --create --null --no-recursion --files-from=- --transform="s,^,$name/,S" \
	--owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s --mtime="@$SOURCE_DATE_EPOCH" --format=gnu |
	gzip -9n >"bin/$name.tar.gz.new"
mv "bin/$name.tar.gz.new" "bin/$name.tar.gz"
echo "bin/$name.tar.gz"
