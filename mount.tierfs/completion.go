package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// completion is tierfs completion.
func completion(_ flags, args []string) error {
	if len(args) == 1 {
		switch args[0] {
		case "bash":
			return bashCompletion(os.Stdout)
		case "zsh":
			return zshCompletion(os.Stdout)
		case "fish":
			return fishCompletion(os.Stdout)
		}
	}
	return usage("completion: want bash, zsh or fish")
}

// flag is the flag name of a command: its argument, "" if it has none, and its
// help.
func (c command) flag(name string) (arg, help string) {
	var f flags
	arg, help = flag.UnquoteUsage(f.set(name).Lookup(name))
	return arg, help
}

// words are what a command's first operand may be, if it is one of a list.
func (c command) words() string {
	if c.name != "completion" {
		return ""
	}
	return strings.ReplaceAll(c.args, "|", " ")
}

// operand is what the operands of a command are: "mount", "file" or "".
func (c command) operand() string {
	switch {
	case strings.Contains(c.args, "MOUNT"):
		return "mount"
	case strings.Contains(c.args, "FILE"), strings.Contains(c.args, "PATH"), strings.Contains(c.args, "DIR"):
		return "file"
	}
	return ""
}

// listMounts is a shell command that lists the mounts.
const listMounts = "findmnt -rno TARGET -t " + fstype + " 2>/dev/null"

func bashCompletion(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# bash completion for tierfs, by: tierfs completion bash\n_tierfs() {\n")
	b.WriteString("\tlocal word=${COMP_WORDS[COMP_CWORD]} flags= words= kind=\n")
	b.WriteString("\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W '")
	b.WriteString(strings.Join(names(), " "))
	b.WriteString("' -- \"$word\")\n\t\treturn\n\tfi\n\tcase ${COMP_WORDS[1]} in\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t%s) flags='%s' words='%s' kind='%s' ;;\n", c.name, dashed(c.flags), c.words(), c.operand())
	}
	b.WriteString("\tesac\n\tcase $word in\n\t-*) mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$word\") ;;\n")
	b.WriteString("\t*)\n\t\tif [ \"$kind\" = mount ]; then words=$(" + listMounts + "); fi\n")
	b.WriteString("\t\tif [ \"$kind\" = file ]; then\n\t\t\tcompopt -o filenames\n\t\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n")
	b.WriteString("\t\telse\n\t\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n\t\tfi\n\t\t;;\n\tesac\n}\ncomplete -F _tierfs tierfs\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func zshCompletion(w io.Writer) error {
	var b strings.Builder
	b.WriteString("#compdef tierfs\n# zsh completion for tierfs, by: tierfs completion zsh\n_tierfs() {\n\tlocal -a commands=(\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t\t'%s:%s'\n", c.name, c.help)
	}
	b.WriteString("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t%s) _arguments -S", c.name)
		for _, name := range c.flags {
			arg, help := c.flag(name)
			if arg != "" {
				arg = ":" + strings.ToLower(arg) + ":"
			}
			fmt.Fprintf(&b, " '--%s[%s]%s'", name, help, arg)
		}
		switch {
		case c.words() != "":
			fmt.Fprintf(&b, " '2:shell:(%s)'", c.words())
		case c.operand() == "mount":
			fmt.Fprintf(&b, " '*:mount:(${(f)\"$(%s)\"})'", listMounts)
		case c.operand() == "file":
			b.WriteString(" '*:file:_files'")
		}
		b.WriteString(" ;;\n")
	}
	// The first completion reads the file as the body of the function.
	b.WriteString("\tesac\n}\nif [ \"$funcstack[1]\" = _tierfs ]; then _tierfs \"$@\"; else compdef _tierfs tierfs; fi\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func fishCompletion(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# fish completion for tierfs, by: tierfs completion fish\ncomplete -c tierfs -f\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c tierfs -n __fish_use_subcommand -a %s -d '%s'\n", c.name, c.help)
		seen := "-n '__fish_seen_subcommand_from " + c.name + "'"
		for _, name := range c.flags {
			arg, help := c.flag(name)
			if arg != "" {
				arg = " -x"
			}
			fmt.Fprintf(&b, "complete -c tierfs %s -l %s%s -d '%s'\n", seen, name, arg, help)
		}
		switch {
		case c.words() != "":
			fmt.Fprintf(&b, "complete -c tierfs %s -a '%s'\n", seen, c.words())
		case c.operand() == "mount":
			fmt.Fprintf(&b, "complete -c tierfs %s -a '(%s)'\n", seen, listMounts)
		case c.operand() == "file":
			fmt.Fprintf(&b, "complete -c tierfs %s -F\n", seen)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func names() (all []string) {
	for _, c := range commands() {
		all = append(all, c.name)
	}
	return all
}

func dashed(flags []string) string {
	var all []string
	for _, name := range flags {
		all = append(all, "--"+name)
	}
	return strings.Join(all, " ")
}
