package tierfs

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
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

// chmod -R over a tier that is read-only would be a line for each directory.
func TestRefusalsOfALowerTierAreToldOnce(t *testing.T) {
	r := newRig(t, 2)
	for _, dir := range []string{"a", "b"} {
		r.mkdir(0, dir)
		r.mkdir(1, dir)
	}
	fs := r.open()
	for _, dir := range []string{"a", "b"} {
		err := fs.eachCopy(r.admit(fs, dir), "the attributes", false, func(f *tier.File) error {
			if f.Tier.Rank == 1 {
				return unix.EROFS
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(r.log.String(), "refused"); n != 1 {
		t.Errorf("said %d times\n%s", n, r.log.String())
	}
}
