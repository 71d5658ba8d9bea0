package mover

import (
	"testing"
	"time"
)

// Small files take less time than a timer is late by. What it cost is made up
// for, but no more than that.
func TestPaceMakesUpForLateTimers(t *testing.T) {
	const ms = 1000 // bytes of a millisecond
	begin := time.Now()
	p := NewPace(1000 * ms)
	for i := range 10 {
		if wait := p.take(ms); wait > 0 {
			t.Errorf("take %d waits %v", i, wait)
		}
	}
	for range 90 {
		p.take(ms)
	}
	if got := p.take(ms) + time.Since(begin); got < 100*time.Millisecond-slack {
		t.Errorf("100 ms of bytes went through in %v", got)
	}
}
