// Package human writes figures the way people do: 1.5 GiB, 3 days, 2 files.
package human

import (
	"strconv"
	"time"
)

// Bytes writes a size in powers of 1024, with one decimal if it is not whole.
// Less than nothing is nothing.
func Bytes[T int64 | uint64](n T) string {
	const units = "KMGTPE"
	n = max(n, 0)
	if n < 1024 {
		return strconv.FormatUint(uint64(n), 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	decimals := 1
	if v == float64(int64(v)) {
		decimals = 0
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + units[i:i+1] + "iB"
}

// units are those of durations, the longest first.
var units = []struct {
	unit time.Duration
	name string
}{
	{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"},
}

// Exactly writes a duration that was asked for, such as 90 minutes, in the
// largest unit that keeps it whole.
func Exactly(d time.Duration) string {
	for _, u := range units {
		if d >= u.unit && d%u.unit == 0 {
			return Count(int(d/u.unit), u.name)
		}
	}
	return d.String()
}

// About writes a duration that was measured, such as 3 days, in one unit. One
// that is 1 of it and a rest is told in the next smaller.
func About(d time.Duration) string {
	for _, u := range units {
		if n := d / u.unit; n > 1 || n == 1 && (d%u.unit == 0 || u.unit == time.Second) {
			return Count(int(n), u.name)
		}
	}
	return "less than a second"
}

// Count writes a number of things.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
