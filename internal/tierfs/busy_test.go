package tierfs

import (
	"strconv"
	"testing"
	"time"
)

// TestClientsDoNotFillTheLog: rm in a loop, on one name or on many.
func TestClientsDoNotFillTheLog(t *testing.T) {
	var s said
	now := time.Now()
	if !s.first("a", now) || s.first("a", now.Add(saidTime)) || !s.first("b", now) {
		t.Error("want each line once")
	}
	n := 0
	for i := range 10 * maxSaid {
		if s.first(strconv.Itoa(i), now) {
			n++
		}
	}
	if n != maxSaid-2 {
		t.Errorf("%d lines more, want %d", n, maxSaid-2)
	}
	if !s.first("a", now.Add(saidTime+1)) {
		t.Error("silent for ever")
	}
}
