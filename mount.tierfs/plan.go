package main

import (
	"errors"
	"fmt"

	"github.com/tierfs/tierfs/internal/control"
)

// plan is tierfs plan.
func plan(f flags, args []string) error {
	m, err := oneMount("plan", args)
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	end, err := clientFor(m).Plan(ctx, func(l control.Line) {
		if l.File == nil {
			return
		}
		l.File.Path = control.Name(shown(m, string(l.File.Path)))
		if f.json {
			_ = printJSONLine(l.File)
		} else {
			fmt.Println(fileLine(*l.File, true))
		}
	})
	switch {
	case err != nil:
		return cannotAsk(m, err)
	case f.json:
		err = printJSONLine(map[string]control.Totals{"end": end})
	default:
		fmt.Println(totalsLine(end, moves(true)))
	}
	if ctx.Err() != nil {
		err = failure{exitTrouble, errors.New("interrupted; the plan is not whole")}
	}
	return err
}
