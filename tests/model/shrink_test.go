package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// replay is the steps of a program, one after another, and a check.
func replay(steps []step) func(*state) (step, bool) {
	i := -1
	return func(*state) (step, bool) {
		if i++; i < len(steps) {
			return steps[i], true
		}
		return step{op: "check"}, i == len(steps)
	}
}

// attempt runs a program on a new mount. What the harness has against the mount
// fails it too: descriptors that stay open, a daemon that does not end.
func attempt(t *testing.T, cfg config, next func(*state) (step, bool)) (done []step, err error) {
	ok := t.Run("mount", func(t *testing.T) {
		x := newRig(t, cfg)
		if err = x.run(&done, next); err == nil {
			x.down()
		}
	})
	if !ok && err == nil {
		err = errors.New("the mount did not end well")
	}
	for len(done) > 0 && done[len(done)-1].op == "check" { // there will be one again
		done = done[:len(done)-1]
	}
	return done, err
}

// shrink leaves steps out of a program that fails for as long as the rest still
// fails in the same kind of step, halves first, single steps last. It gives up
// at the time limit.
func shrink(t *testing.T, cfg config, steps []step, limit time.Duration) ([]step, error) {
	steps, err := attempt(t, cfg, replay(steps))
	for size := len(steps) / 2; err != nil && size > 0; {
		shorter := false
		for at := 0; at+size <= len(steps); {
			if limit < 0 {
				return steps, err
			}
			begun := time.Now()
			less, e := attempt(t, cfg, replay(slices.Delete(slices.Clone(steps), at, at+size)))
			limit -= time.Since(begun)
			if e != nil && kind(e) == kind(err) {
				steps, err, shorter = less, e, true
			} else {
				at += size
			}
		}
		if !shorter || size > 1 {
			size /= 2
		}
	}
	return steps, err
}

// kind is the first word of an error: the operation that failed.
func kind(err error) string { return strings.Fields(err.Error())[0] }

// program is the text that parseProgram reads.
func program(cfg config, steps []step) string {
	lines := []string{"config " + cfg.name}
	for _, st := range steps {
		lines = append(lines, st.String())
	}
	return strings.Join(lines, "\n") + "\n"
}

func parseProgram(text string) (cfg config, steps []step, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, isConfig := strings.CutPrefix(line, "config ")
		switch {
		case line == "":
		case isConfig:
			i := slices.IndexFunc(configs, func(c config) bool { return c.name == name })
			if i < 0 {
				return cfg, nil, fmt.Errorf("no configuration %q", name)
			}
			cfg = configs[i]
		default:
			st, err := parseStep(line)
			if err != nil {
				return cfg, nil, err
			}
			steps = append(steps, st)
		}
	}
	return cfg, steps, nil
}
