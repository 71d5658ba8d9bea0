package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"time"

	"github.com/tierfs/tierfs/internal/mountopt"
)

// flags are all that the commands take. Which of them a command takes stands
// in the table of commands.
type flags struct {
	all, json, dryRun, repair, rename, yes, replace bool
	olderThan                                       age
}

// set are the flags with these names.
func (f *flags) set(names ...string) *flag.FlagSet {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // what is wrong is said in our own way
	for _, name := range names {
		switch name {
		case "all":
			fs.BoolVar(&f.all, name, false, "list every file, where else there is a summary")
		case "json":
			fs.BoolVar(&f.json, name, false, "print JSON")
		case "dry-run":
			fs.BoolVar(&f.dryRun, name, false, "move nothing, only tell")
		case "older-than":
			fs.Var(&f.olderThan, name, "only files of that `AGE`, such as 90d")
		case "repair":
			fs.BoolVar(&f.repair, name, false, "mend what can be mended without a loss")
		case "rename":
			fs.BoolVar(&f.rename, name, false, "with --repair: show hidden files that differ and the trash, under other names")
		case "yes":
			fs.BoolVar(&f.yes, name, false, "with --repair: do not ask")
		case "replace":
			fs.BoolVar(&f.replace, name, false, "take the place of a member")
		}
	}
	return fs
}

// parse reads the arguments of a command, flags before, between and after the
// operands; -- ends the flags.
func (c command) parse(args []string) (f flags, operands []string, err error) {
	fs := f.set(c.flags...)
	for len(args) > 0 {
		err := fs.Parse(args)
		rest := fs.Args()
		n := len(args) - len(rest)
		if err != nil {
			return f, nil, c.misused(err, args[max(n-1, 0)])
		}
		if n > 0 && args[n-1] == "--" {
			return f, append(operands, rest...), nil
		}
		if args = rest; len(rest) > 0 {
			operands, args = append(operands, rest[0]), rest[1:]
		}
	}
	return f, operands, nil
}

// misused says what is wrong with the flag that ends with arg.
func (c command) misused(err error, arg string) error {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "flag provided but not defined"):
		return usage("%s: %q: unknown flag; see tierfs %[1]s --help", c.name, arg)
	case strings.HasPrefix(text, "flag needs an argument"):
		return usage("%s: %q: want a value; see tierfs %[1]s --help", c.name, arg)
	}
	why := text[strings.LastIndex(text, ": ")+2:] // invalid value "3x" for flag -older-than: want …
	return usage("%s: %q: %s; see tierfs %[1]s --help", c.name, arg, why)
}

// form is the command as it is written.
func (c command) form() string {
	words := []string{"tierfs", c.name}
	var f flags
	fs := f.set(c.flags...)
	for _, name := range c.flags {
		form := "--" + name
		if arg, _ := flag.UnquoteUsage(fs.Lookup(name)); arg != "" {
			form += " " + arg
		}
		if !strings.Contains(c.args, "--"+name) {
			words = append(words, "["+form+"]")
		}
	}
	if c.args != "" {
		words = append(words, c.args)
	}
	return strings.Join(words, " ")
}

// age is a time that has passed, written as the option demote= takes it.
type age time.Duration

// Set is of flag.Value.
func (a *age) Set(text string) error {
	d, err := mountopt.ParseAge("age", text)
	if err != nil || d == 0 {
		return errAge
	}
	*a = age(d)
	return nil
}

var errAge = errors.New("want an age such as 90d, 12h or 3w; give 1s for at once")

// String is of flag.Value.
func (a *age) String() string { return time.Duration(*a).String() }
