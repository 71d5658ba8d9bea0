# tally.awk passes on what go test -v says, less the lines that only tell that a
# test began or went well, and ends with a count of the tests (not of their
# parts).
/^=== (RUN|PAUSE|CONT|NAME)/ { next }
/^--- PASS/ { passed++; next }
/^--- FAIL/ { failed++ }
/^--- SKIP/ { skipped++ }
/^ +--- PASS/ { next }
/^PASS$/ { next }
/\[no test files\]$/ { next }
{ print; fflush() }
END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
