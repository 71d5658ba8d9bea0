package main

import (
	"errors"
	"fmt"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
)

// why is tierfs why.
func why(f flags, args []string) error {
	if len(args) == 0 {
		return usage("why: want FILE...; see tierfs why --help")
	}
	var all []control.Verdict
	var failed error
	for _, file := range args {
		v, err := verdictOf(file)
		if err != nil {
			failed = failure{code: exitCannot}
			say(cliName, err.Error())
			continue
		}
		all = append(all, v)
		if !f.json {
			fmt.Println(verdictLine(v))
		}
	}
	if f.json {
		if err := printJSON(all); err != nil {
			return err
		}
	}
	return failed
}

func verdictOf(file string) (control.Verdict, error) {
	l, err := locate(file)
	if err != nil {
		return control.Verdict{}, err
	}
	v, err := clientFor(l.mount).Why(l.rel)
	if errors.Is(err, control.ErrNoDaemon) {
		return v, cannotAsk(l.mount, err)
	}
	if err != nil {
		return v, fmt.Errorf("%q: %w", file, err)
	}
	v.Path = control.Name(file)
	return v, nil
}

func verdictLine(v control.Verdict) string {
	fate := fmt.Sprintf("goes to tier %d", v.To)
	if v.Skip != "" {
		fate = "stays"
	}
	show := daemon.Printable
	return fmt.Sprintf("%s: on tier %d, %s, %s: %s", show(string(v.Path)), v.Tier, bytes(uint64(max(v.Bytes, 0))), fate, show(v.Detail))
}
