package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// command is one word of the administrator's command. Help, the manual's
// synopsis and completions come from here.
type command struct {
	name  string
	flags []string // of those in flags.go
	args  string   // what comes after them
	help  string
	run   func(f flags, args []string) error
}

// commands returns all of them, in the order of the help.
func commands() []command {
	return []command{
		{"status", []string{"json"}, "[MOUNT...]", "show mounts, their tiers, what the daemons have served and moved", status},
		{"where", []string{"json"}, "FILE...", "show on which tier a file is", where},
		{"demote", moveFlags, "PATH...", "move files one tier down", demote},
		{"promote", moveFlags, "PATH...", "move files to the primary", promote},
		{"plan", []string{"all", "json"}, "[MOUNT]", "show what the policy would move now", plan},
		{"why", []string{"json"}, "FILE...", "show why a file moves or stays", why},
		{"check", []string{"repair", "rename", "yes", "json"}, "[MOUNT]", "look for hidden files and leftovers on the tiers, and mend them", check},
		{"adopt", []string{"replace"}, "DIR | --replace NEWDIR MEMBERDIR", "take a directory in as a tier, once, where the mount refuses it", adopt},
		{"completion", nil, "bash|zsh|fish", "print the completions for a shell", completion},
		{"version", nil, "", "show the version", func(flags, []string) error { return printVersion(os.Stdout) }},
		{"help", nil, "", "show this", func(flags, []string) error { return printHelp(os.Stdout) }},
	}
}

var moveFlags = []string{"older-than", "dry-run", "all", "json"}

// Exit codes of the command.
const (
	exitTrouble = 1 // something stayed, failed or was found; it has been said
	exitCannot  = 2 // it could not be done at all
)

// trouble ends a command with exitTrouble and without another word.
var trouble = failure{code: exitTrouble}

// cli is the administrator's command.
func cli(args []string) int {
	if len(args) < 2 {
		_ = printHelp(os.Stderr)
		return exitCannot
	}
	name := args[1]
	switch name {
	case "-h", "--help":
		name = "help"
	case "-V", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return cliCode(c.call(args[2:]))
		}
	}
	return cliCode(usage("command %q: unknown; see tierfs help", name))
}

func (c command) call(args []string) error {
	if wantsHelp(args) {
		return c.printUsage(os.Stdout)
	}
	f, operands, err := c.parse(args)
	if err != nil {
		return err
	}
	return c.run(f, operands)
}

// cliCode reports err and returns the command's exit code.
func cliCode(err error) int {
	report(cliName, err)
	var f failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f) && f.code == exitTrouble:
		return exitTrouble
	}
	return exitCannot
}

// wantsHelp reports whether the arguments of a command ask for its usage.
func wantsHelp(args []string) bool {
	return slices.Contains(args, "-h") || slices.Contains(args, "--help")
}

// usage is an error in how the command was called.
func usage(format string, args ...any) error {
	return failure{exitCannot, fmt.Errorf(format, args...)}
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintln(w, "tierfs", version)
	return err
}
