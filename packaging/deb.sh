#!/bin/sh
# deb.sh builds the Debian packages into bin/deb, each architecture from the
# source of `make dist`, and has lintian look at the result.
#
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/deb.sh RELEASE [ARCHITECTURE...]
set -eu
cd "$(dirname "$0")/.."
umask 022
release=$1
shift
[ $# != 0 ] || set -- amd64 arm64

# debhelper gives the build an empty home, and with it empty caches.
GOCACHE=$(go env GOCACHE) GOMODCACHE=$(go env GOMODCACHE)
export GOCACHE GOMODCACHE

rm -rf bin/deb
mkdir -p bin/deb
tar -xzf "bin/tierfs-$release.tar.gz" -C bin/deb
source=bin/deb/tierfs-$release
cp -a "$source/packaging/debian" "$source/debian"

# -d: Go may be installed otherwise than by a package. The source goes with each
# architecture because lintian reads there that this is Go, which links statically.
for arch; do
	(cd "$source" && dpkg-buildpackage -d -us -uc -tc --build=full --host-arch="$arch") >"bin/deb/$arch.log" 2>&1 ||
		{ tail -n 20 "bin/deb/$arch.log" && exit 1; }
done
rm -rf "$source"

lint=0
for changes in bin/deb/*.changes; do
	lintian --allow-root --fail-on error,warning "$changes" || lint=1
done
ls bin/deb/*.deb
exit $lint
