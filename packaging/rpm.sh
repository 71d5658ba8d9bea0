#!/bin/sh
# rpm.sh builds the rpm packages into bin/rpm, each architecture from the source
# of `make dist`, and has rpmlint look at the result.
#
# usage: SOURCE_DATE_EPOCH=SECONDS packaging/rpm.sh RELEASE [ARCHITECTURE...]
set -eu
umask 022
cd "$(dirname "$0")/.."
release=$1
shift
[ $# != 0 ] || set -- x86_64 aarch64

rm -rf bin/rpm
mkdir -p bin/rpm/top/SOURCES
cp "bin/tierfs-$release.tar.gz" bin/rpm/top/SOURCES

# --nodeps: Go and make may be installed otherwise than by an rpm.
build() {
	rpmbuild --nodeps --define "_topdir $PWD/bin/rpm/top" --define "_rpmdir $PWD/bin/rpm" --define "_srcrpmdir $PWD/bin/rpm" \
		--define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' \
		--define "release_version $release" "$@" packaging/rpm/tierfs.spec
}

for arch; do
	build -bb --target "$arch-linux" >"bin/rpm/$arch.log" 2>&1 || { tail -n 20 "bin/rpm/$arch.log" && exit 1; }
done
rm -rf bin/rpm/top

rpmlint --config packaging/rpm/rpmlint.toml bin/rpm/*.rpm packaging/rpm/tierfs.spec >bin/rpm/lint.log 2>&1 || { cat bin/rpm/lint.log && exit 1; }
ls bin/rpm/*.rpm
