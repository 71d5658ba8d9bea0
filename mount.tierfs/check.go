package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/human"
)

// check is tierfs check. A repair is a second look: what it will do is known
// from the first, and asked about before.
func check(f flags, args []string) error {
	m, err := oneMount("check", args)
	switch {
	case err != nil:
		return err
	case f.rename && !f.repair:
		return usage("check: --rename is a way to repair; give --repair too")
	case f.repair && f.json && !f.yes:
		return usage("check: --repair asks, and --json cannot; give --yes too")
	}
	req := control.Check{Rename: f.rename, Repair: f.repair && f.yes}
	end, mendable, err := look(m, f, req)
	if err != nil {
		return err
	}
	if f.repair && !f.yes && mendable > 0 {
		if err := confirmed(human.Count(mendable, "finding")); err != nil {
			return err
		}
		req.Repair = true
		if end, _, err = look(m, f, req); err != nil {
			return err
		}
	}
	if end.Findings > end.Mended {
		return trouble
	}
	return nil
}

// look asks for a check and prints it.
func look(m daemon.Mount, f flags, req control.Check) (end control.CheckEnd, mendable int, err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	end, err = clientFor(m).Check(ctx, req, func(x control.Finding) {
		if x.Mend != "" {
			mendable++
		}
		if f.json {
			_ = printJSONLine(x)
		} else {
			fmt.Println(findingLine(x, f.repair))
		}
	})
	switch {
	case err != nil:
		return end, mendable, cannotAsk("check", m, err)
	case f.json:
		err = printJSONLine(map[string]control.CheckEnd{"end": end})
	default:
		fmt.Printf("looked at %s in %s: %s, %d mended\n", human.Count(end.Entries, "name"), directories(end.Directories), human.Count(end.Findings, "finding"), end.Mended)
	}
	if ctx.Err() != nil {
		err = failure{exitTrouble, errors.New("interrupted, so the check is not whole; run it again")}
	}
	return end, mendable, err
}

func directories(n int) string {
	if n == 1 {
		return "1 directory"
	}
	return fmt.Sprintf("%d directories", n)
}

// findingLine says what was found, and what a repair does or did.
func findingLine(x control.Finding, repair bool) string {
	show := daemon.Printable
	text := fmt.Sprintf("%s: tier %d: %s: %s", show(x.Kind), x.Tier, daemon.PrintableName(string(x.At)), show(x.Text))
	switch {
	case x.Error != "":
		text += "; not mended: " + show(x.Error)
	case x.Mended:
		text += "; mended: " + show(cmp.Or(x.Done, x.Mend)) // a daemon from before an update tells the latter alone
	case repair && x.Mend != "":
		text += "; to mend it: " + show(x.Mend)
	}
	return text
}

// confirmed asks whether to go on, on a terminal.
func confirmed(what string) error {
	if !isTerminal(os.Stdin) {
		return failure{exitCannot, errors.New("check: --repair asks before it mends, and there is no terminal; give --yes")}
	}
	fmt.Fprintf(os.Stderr, "Mend %s as said above? [y/N] ", what)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if word := strings.ToLower(strings.TrimSpace(line)); word != "y" && word != "yes" {
		return failure{exitTrouble, errors.New("nothing was mended")}
	}
	return nil
}
