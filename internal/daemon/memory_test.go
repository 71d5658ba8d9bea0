package daemon

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// resident is what the process occupies.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestMemoryGoesBackToTheSystem(t *testing.T) {
	before := resident(t)
	m := NewMemory()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	pile := make([][]byte, 1000)
	for i := range pile {
		pile[i] = make([]byte, 64<<10)
		for at := 0; at < len(pile[i]); at += 4096 {
			pile[i][at] = 1
		}
	}
	full := resident(t)
	if full-before < 50<<20 {
		t.Fatalf("64 MB were not used: %d before, %d now", before, full)
	}
	runtime.KeepAlive(pile)
	pile = nil
	for range 1000 {
		m.Freed(64 << 10)
	}
	for end := time.Now().Add(30 * time.Second); full-resident(t) < 40<<20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("of %d bytes %d are still used", full, resident(t))
		}
	}
	cancel()
	<-done
	runtime.KeepAlive(m)
}
