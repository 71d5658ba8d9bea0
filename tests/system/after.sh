#!/bin/bash
# after.sh looks at what a boot has left: its journal, and the tiers as they are
# without a daemon.
#
# usage: tests/system/after.sh DIR     with journal and srv in it
set -u
here=$(dirname "$(realpath "$0")") out=$1
# shellcheck source=/dev/null # a file beside this one
. "$here/lib.sh"
journalctl -D "$out/journal" -o cat --no-pager >"$out/journal.txt" 2>/dev/null

# counted FILE reports whether its lines are 1, 2, 3 and so on, without a gap.
counted() {
	[ -s "$1" ] && seq "$(wc -l <"$1")" | cmp - "$1"
}

ok "shutdown: came to its end" grep -q '^# done' "$out/result"
ok "shutdown: what was written until then is on the tier" counted "$out/srv/fast/open"
# shellcheck disable=SC2016 # the inner shell's
ok "shutdown: the log has no panic" bash -c '[ -s "$1" ] && ! grep -E "panic:|fatal error:" "$1"' log "$out/journal.txt"
grep -E 'busy by|srv-docs.mount|/srv/docs served' "$out/journal.txt" | tail -n 6 | sed 's/^/# shutdown: /'
