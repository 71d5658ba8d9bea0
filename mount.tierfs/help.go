package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/tierfs/tierfs/internal/mountopt"
)

// printHelp is tierfs help.
func printHelp(w io.Writer) error {
	fmt.Fprintln(w, "tierfs shows a fast directory and slower ones as one tree.")
	fmt.Fprintln(w, "\nmount:")
	fmt.Fprintln(w, "  mount -t fuse.tierfs PRIMARY MOUNTPOINT -o fallback=DIR[:DIR...][,option...]")
	fmt.Fprintln(w, "\ncommands:")
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(t, "  %s\t%s\n", c.form(), c.help)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nmount.tierfs --help lists the options of a mount.")
	return err
}

// printUsage is tierfs NAME --help.
func (c command) printUsage(w io.Writer) error {
	fmt.Fprintf(w, "usage: %s\n%s; see tierfs(8)\n", c.form(), c.help)
	for _, name := range c.flags {
		arg, help := c.flag(name)
		fmt.Fprintf(w, "  %-18s %s\n", strings.TrimSpace("--"+name+" "+arg), help)
	}
	return nil
}

// printHelperHelp is mount.tierfs --help.
func printHelperHelp(w io.Writer) error {
	fmt.Fprintf(w, "usage: %s PRIMARY MOUNTPOINT [-fnsvrw] [-N namespace] [-o option,...] [-t fuse.tierfs]\n", helperName)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	var group mountopt.Group
	for _, e := range mountopt.Help() {
		if e.Group != group {
			group = e.Group
			fmt.Fprintf(t, "\n%s options:\n", group)
		}
		fmt.Fprintf(t, "  %s\t%s\n", optionForm(e), optionText(e))
	}
	return t.Flush()
}

// optionForm is an option as it is written.
func optionForm(e mountopt.Entry) string {
	switch {
	case e.Arg == "":
		return e.Name
	case e.Arg[0] == '[':
		return e.Name + "[=" + e.Arg[1:]
	}
	return e.Name + "=" + e.Arg
}

func optionText(e mountopt.Entry) string {
	switch e.Default {
	case "":
		return e.Help
	case "on":
		return e.Help + " (default)"
	}
	return e.Help + " (default " + e.Default + ")"
}
