package mover

import (
	"math/bits"
	"time"
)

// heat counts bytes by age, in steps of a sixteenth of the age's power of two,
// so that a tier of any size costs the same.
type heat [64 * heatSteps]int64

const heatSteps = 16

// add counts bytes of that age.
func (h *heat) add(age time.Duration, bytes int64) { h[heatStep(age)] += bytes }

// cutoffs are the ages from which files go to free need bytes, to be tried one
// after the other: what is certainly among the coldest first, then the step in
// which the rest is.
func (h *heat) cutoffs(need int64) (ages []time.Duration) {
	var sum int64
	for i := len(h) - 1; i >= 0 && sum < need; i-- {
		if h[i] == 0 {
			continue
		}
		if sum += h[i]; sum >= need && sum > h[i] {
			ages = append(ages, heatAge(i+1))
		}
		if sum >= need {
			return append(ages, heatAge(i))
		}
	}
	if sum > 0 {
		return []time.Duration{1} // all of them, and it is not enough
	}
	return nil
}

// heatStep is the step of an age in seconds, the first for less than one.
func heatStep(age time.Duration) int {
	s := uint64(max(age/time.Second, 0))
	if s < heatSteps {
		return int(s)
	}
	power := bits.Len64(s) - 1 // 2^power <= s
	return (power-3)*heatSteps + int(s>>(power-4)) - heatSteps
}

// heatAge is the least age of a step, more than 0.
func heatAge(i int) time.Duration {
	if i < heatSteps {
		return max(time.Duration(i)*time.Second, 1)
	}
	power := i/heatSteps + 3
	return time.Duration(uint64(heatSteps+i%heatSteps)<<(power-4)) * time.Second
}
