package mountopt

import (
	"math"
	"testing"
	"time"
)

func TestMinFreeReadsSharesAndSizes(t *testing.T) {
	for s, want := range map[string]MinFree{
		"5%":         {Percent: 5},
		"0.25%":      {Percent: 0.25},
		"99.9%":      {Percent: 99.9},
		"0%":         {},
		"0%:1G":      {},
		"1%:1G":      {Percent: 1, Bytes: 1 << 30},
		"100000000":  {Bytes: 100000000},
		"512M":       {Bytes: 512 << 20},
		"2g":         {Bytes: 2 << 30},
		"3K":         {Bytes: 3 << 10},
		"4T":         {Bytes: 4 << 40},
		"8388607T":   {Bytes: 8388607 << 40},
		"0":          {},
		"0G":         {},
		"0000000001": {Bytes: 1},
	} {
		got, ok := parseMinFree(s)
		if !ok || got != want {
			t.Errorf("%s: got %+v, %v", s, got, ok)
		}
		if again, ok := parseMinFree(got.String()); !ok || again != got {
			t.Errorf("%s: shown as %s, which is %+v", s, got, again)
		}
	}
	for _, s := range []string{"", "%", "G", "-1", "-1%", "+1", "1.5G", "1GB", "1 G", "5%%", "100%", "1e1%",
		"0x1%", "nan%", "inf%", "1_0%", ".5%", "5.%", "1.2.3%", "8388608T", "18446744073709551616",
		"5%:", "5%:0", "5%:x", "5%:5%", "1G:5%", "1G:2G", "G%"} {
		if got, ok := parseMinFree(s); ok {
			t.Errorf("%q: read as %+v", s, got)
		}
	}
}

func TestMinFreeOfATier(t *testing.T) {
	for _, tt := range []struct {
		m           MinFree
		total, want uint64
	}{
		{Default().MinFree, 10 << 30, 107374182},
		{Default().MinFree, 100 << 30, 1 << 30},
		{Default().MinFree, 1 << 50, 1 << 30},
		{Default().MinFree, 0, 0},
		{MinFree{Percent: 5}, 1000, 50},
		{MinFree{Percent: 50}, 1 << 60, 1 << 59},
		{MinFree{Bytes: 7}, 1000, 7},
		{MinFree{Bytes: 7}, 0, 7},
		{MinFree{}, 1000, 0},
	} {
		if got := tt.m.Of(tt.total); got != tt.want {
			t.Errorf("%s of %d: got %d, want %d", tt.m, tt.total, got, tt.want)
		}
	}
	if got := (MinFree{Percent: 99.999}).Of(math.MaxUint64); got < 1<<63 {
		t.Errorf("overflow: %d", got)
	}
}

func TestDurationKeepsNanoseconds(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0": 0, "1": time.Second, "0.5": time.Second / 2, "10": 10 * time.Second, "90": 90 * time.Second,
		"0.000000001": 1, "1.000000001": time.Second + 1, "31536000": maxTimeout, "0.123456789": 123456789,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: shown as %s, want %s", d, got, want)
		}
		if got, err := parseDuration("x", want, 0); err != nil || got != d {
			t.Errorf("%s: read as %v, %v", want, got, err)
		}
	}
}
