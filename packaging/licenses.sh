#!/bin/sh
# licenses.sh prints the licenses of what is linked into the binary besides
# tierfs itself, as those licenses want whoever hands a binary on to do.
set -eu
cd "$(dirname "$0")/.."

echo 'The tierfs binary contains the following, under the licenses below.'
{
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./mount.tierfs
	echo "Go $(go env GOVERSION | sed "s,^go,,") $(go env GOROOT)"
} | sort -u | while read -r name version dir; do
	printf '\n%s\n%s %s\n\n' "$(printf '%080d' 0 | tr 0 -)" "$name" "$version"
	cat "$dir"/LICENSE*
done
