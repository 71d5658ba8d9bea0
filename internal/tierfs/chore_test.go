package tierfs

import (
	"context"
	"testing"
	"time"
)

// TestNewsPutNoChoreOff: on a disk that fails, one operation after the other leaves
// something, and each began the second anew that the chores wait for.
func TestNewsPutNoChoreOff(t *testing.T) {
	r := newRig(t, 1)
	fs := r.open()
	r.write(0, ".tierfs/staging/left", "x")
	fs.leftovers.add("left", fs.Tiers()[0])
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() { fs.Chores(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	for end := time.Now().Add(5 * choreSoon); r.has(0, ".tierfs/staging/left"); time.Sleep(choreSoon / 10) {
		if time.Now().After(end) {
			t.Fatal("nothing is done as long as there are news")
		}
		fs.journal.tell()
	}
}
