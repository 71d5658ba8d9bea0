# tally.awk passes on what go test -v says, less the lines that only tell that a
# test began or went well, and ends with what each failed test said first and a
# count of the tests (not of their parts): who reads only the end knows why. What takes
# 20 seconds or more is named.
/^=== (RUN|PAUSE|CONT|NAME)/ { name = $3; next }
/^ *--- FAIL/ { failures = failures said[$3] }
/^ *--- / { delete said[$3]; delete lines[$3] }
/^--- (PASS|FAIL)/ { seconds = substr($NF, 2) + 0; if (seconds >= 20) slow = slow " " $3 " " int(seconds) " s;" }
/^--- PASS/ { passed++; next }
/^--- FAIL/ { failed++ }
/^--- SKIP/ { skipped++ }
/^ +--- PASS/ { next }
/^PASS$/ { next }
/\[no test files\]$/ { next }
/^    / && !/^ *---/ && lines[name]++ < 10 { said[name] = said[name] name ": " substr($0, 5, 300) "\n" }
{ print; fflush() }
END { if (slow) print "longest:" substr(slow, 1, length(slow) - 1) }
END { printf "%s%d passed, %d failed, %d skipped\n", failures, passed, failed, skipped }
