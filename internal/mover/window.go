package mover

import "time"

// left is how long the window is open still, 0 if it is closed. A window
// without bounds is always open.
func (w Window) left(now time.Time) time.Duration {
	if w.From == w.To {
		return 24 * time.Hour
	}
	for day := -1; day <= 0; day++ {
		begin, end := w.on(now, day)
		if !now.Before(begin) && now.Before(end) {
			return end.Sub(now)
		}
	}
	return 0
}

// next is when the window is open at or after now.
func (w Window) next(now time.Time) time.Time {
	for day := 0; w.left(now) == 0; day++ {
		if begin, _ := w.on(now, day); begin.After(now) {
			return begin
		}
	}
	return now
}

// on is the window that opens so many days after now, in local time. A day on
// which clocks change may have it longer, shorter or not at all (time.Date).
func (w Window) on(now time.Time, day int) (begin, end time.Time) {
	at := func(day, minute int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+day, 0, minute, 0, 0, now.Location())
	}
	if w.To <= w.From {
		return at(day, w.From), at(day+1, w.To)
	}
	return at(day, w.From), at(day, w.To)
}
