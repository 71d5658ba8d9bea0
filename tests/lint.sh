#!/bin/sh
# lint.sh looks at the source: gofmt, go vet, staticcheck, govulncheck, and for
# scripts and man pages shellcheck and mandoc. It ends with 1 if any complains.
#
# What cannot run here is said, and left in the file TIERFS_SKIPLOG if that is
# set; it does not fail.
set -u
cd "$(dirname "$0")/.." || exit 2
status=0
# Those who look are not short of memory, and spend a fifth of their time on it else.
export GOGC=400

complain() {
	echo "lint: $1 failed" >&2
	status=1
}

not_run() {
	echo "$1: not run: $2"
	[ -z "${TIERFS_SKIPLOG:-}" ] || echo "lint: $1: $2" >>"$TIERFS_SKIPLOG"
}

tool() {
	go tool -modfile=tools/go.mod "$@"
}

formatted() {
	files=$("$(go env GOROOT)/bin/gofmt" -l -s .) && [ -z "$files" ] && return 0
	echo "not as gofmt -s writes it:" "$files"
	return 1
}

# govulncheck ends with 3 when it found something, and with 1 for anything else,
# such as a database that is out of reach, for which the source is not to blame.
not_vulnerable() {
	out=$(tool govulncheck ./... 2>&1) && return 0
	case $out in
	*'fetching vulnerabilities'*) not_run govulncheck 'its database cannot be reached' ;;
	*) echo "$out" && return 1 ;;
	esac
}

installed() {
	command -v "$1" >/dev/null 2>&1 && return 0
	not_run "$1" 'not installed'
	return 1
}

formatted || complain gofmt
go vet ./... || complain 'go vet'
tool staticcheck ./... || complain staticcheck
not_vulnerable || complain govulncheck
if installed shellcheck; then
	# shellcheck disable=SC2046 # the project's own file names have no spaces
	shellcheck .ci/run $(find . -name '*.sh' -not -path './.git/*') || complain shellcheck
fi
if installed mandoc; then
	mandoc -Tlint -Wwarning man/*.[1-8] || complain mandoc
fi
[ $status != 0 ] || echo 'lint: clean'
exit $status
