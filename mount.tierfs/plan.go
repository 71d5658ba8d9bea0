package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
)

// plan is tierfs plan: in short, or file by file.
func plan(f flags, args []string) error {
	m, err := oneMount("plan", args)
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	short := newSummary()
	end, err := clientFor(m).Plan(ctx, func(l control.Line) {
		if l.File == nil {
			return
		}
		l.File.Path = control.Name(shown(m, string(l.File.Path)))
		switch {
		case f.json:
			_ = printJSONLine(l.File)
		case f.all:
			fmt.Println(fileLine(*l.File, true))
		default:
			short.add(*l.File)
		}
	})
	switch {
	case err != nil:
		return cannotAsk("plan", m, err)
	case f.json:
		err = printJSONLine(map[string]control.Totals{"end": end})
	default:
		short.print(os.Stdout)
		fmt.Println(totalsLine(end, moves(true)))
		if end.Note != "" {
			fmt.Println(daemon.Printable(end.Note))
		}
	}
	if ctx.Err() != nil {
		err = failure{exitTrouble, errors.New("interrupted, so the plan is not whole; run it again")}
	}
	return err
}
