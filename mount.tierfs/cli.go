package main

import (
	"fmt"
	"io"
	"os"
	"slices"
)

// command is one word of the administrator's command.
type command struct {
	name, args, help string
	run              func(args []string) error
}

// commands returns all of them, in the order of the help.
func commands() []command {
	return []command{
		{"status", "[--json] [MOUNT...]", "show mounts, their tiers and what the daemons have served", status},
		{"adopt", "DIR | --replace NEWDIR MEMBERDIR", "take a directory in as a tier, once, where the mount refuses it", adopt},
		{"version", "", "show the version", func([]string) error { return printVersion(os.Stdout) }},
		{"help", "", "show this", func([]string) error { return printHelp(os.Stdout) }},
	}
}

// cli is the administrator's command.
func cli(args []string) int {
	if len(args) < 2 {
		_ = printHelp(os.Stderr)
		return exitUsage
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
			if wantsHelp(args[2:]) {
				return report(cliName, c.printUsage(os.Stdout))
			}
			return report(cliName, c.run(args[2:]))
		}
	}
	return report(cliName, usage("command %q: unknown; see tierfs help", name))
}

// wantsHelp reports whether the arguments of a command ask for its usage.
func wantsHelp(args []string) bool {
	return slices.Contains(args, "-h") || slices.Contains(args, "--help")
}

// usage is an error in how the command was called.
func usage(format string, args ...any) error {
	return failure{exitUsage, fmt.Errorf(format, args...)}
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintln(w, "tierfs", version)
	return err
}
