package main

import (
	"errors"
	"fmt"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/human"
)

// why is tierfs why.
func why(f flags, args []string) error { return ofFiles("why", f, args, verdictOf, verdictLine) }

func verdictOf(file string) (control.Verdict, error) {
	l, err := locate(file)
	if err != nil {
		return control.Verdict{}, err
	}
	return askWhy("why", file, l)
}

// askWhy asks the daemon about a file, for a command.
func askWhy(command, file string, l located) (control.Verdict, error) {
	v, err := clientFor(l.mount).Why(l.rel)
	switch {
	case err == nil:
		v.Path = control.Name(file)
		return v, nil
	case control.Silent(err):
		return v, silence(l.mount)
	case !mayAsk(l.mount), errors.Is(err, control.ErrNoDaemon):
		return v, cannotAsk(command, l.mount, err)
	}
	return v, fmt.Errorf("%q: %w", file, err)
}

func verdictLine(v control.Verdict) string {
	fate := "stays"
	if v.To != nil {
		fate = fmt.Sprintf("goes to tier %d", *v.To)
	}
	return fmt.Sprintf("%s: on tier %d, %s, %s: %s", daemon.PrintableName(string(v.Path)), v.Tier, human.Bytes(v.Bytes), fate, daemon.Printable(v.Detail))
}
