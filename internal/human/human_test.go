package human

import (
	"math"
	"testing"
	"time"
)

func TestSizesAreShort(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 2001: "2.0 KiB", 50 << 20: "50 MiB", 10 << 30: "10 GiB",
		math.MaxUint64: "16 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if got := Bytes(int64(-5)); got != "0 B" {
		t.Errorf("-5: %q", got)
	}
}

func TestDurationsAreInOneUnit(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration][2]string{
		216667305 * time.Nanosecond: {"216.667305ms", "less than a second"},
		time.Second:                 {"1 second", "1 second"},
		90 * time.Second:            {"90 seconds", "90 seconds"},
		150 * time.Minute:           {"150 minutes", "2 hours"},
		36 * time.Hour:              {"36 hours", "36 hours"},
		49 * time.Hour:              {"49 hours", "2 days"},
		90 * day:                    {"90 days", "90 days"},
		90*day + time.Millisecond:   {"2160h0m0.001s", "90 days"},
		1500 * time.Millisecond:     {"1.5s", "1 second"},
		0:                           {"0s", "less than a second"},
	} {
		if got := [2]string{Exactly(d), About(d)}; got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
