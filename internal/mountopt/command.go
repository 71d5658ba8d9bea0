package mountopt

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// ParseCommand returns these when the caller asked for a text, not for a mount.
var (
	ErrHelp    = errors.New("help was asked for")
	ErrVersion = errors.New("the version was asked for")
)

// Command is one call of the mount helper, as in mount(8), EXTERNAL HELPERS.
type Command struct {
	Spec, Dir string // the operands as given

	Fake    bool // -f: check everything, mount nothing
	Sloppy  bool // -s: an unknown option is a warning
	NoMtab  bool // -n: nothing to do, there is no mtab
	Verbose bool // -v: say what is done

	Namespace string // -N: a path or a process ID, "" for the caller's own
	Options   Options
}

// ParseCommand reads the helper's arguments, without argv[0]. Flags, options
// and operands come in any order: util-linux 2.40.3 puts options first, all
// others put them last. -h and -V give ErrHelp and ErrVersion as soon as they
// are seen.
func ParseCommand(args []string) (Command, error) {
	p := parser{rest: args}
	for len(p.rest) > 0 {
		if err := p.next(); err != nil {
			return Command{}, err
		}
	}
	if err := p.takeOperands(); err != nil {
		return Command{}, err
	}
	p.cmd.Options = Default()
	for _, s := range p.options {
		if err := p.cmd.Options.Parse(s, p.cmd.Sloppy); err != nil {
			return Command{}, err
		}
	}
	return p.cmd, nil
}

// parser walks the arguments. Option strings are kept until the end because a
// -s behind them counts as well.
type parser struct {
	rest     []string
	operands []string
	options  []string
	ended    bool // by --
	cmd      Command
}

// next takes one argument, with its value if that stands apart.
func (p *parser) next() error {
	arg := p.rest[0]
	p.rest = p.rest[1:]
	switch {
	case p.ended, arg == "-", !strings.HasPrefix(arg, "-"):
		p.operands = append(p.operands, arg)
		return nil
	case arg == "--":
		p.ended = true
		return nil
	case arg == "--help":
		return ErrHelp
	case arg == "--version":
		return ErrVersion
	case strings.HasPrefix(arg, "--"):
		return unknownFlag(arg)
	}
	return p.short(arg)
}

// short takes a bundle such as -sfnv. A flag with a value ends it: the value is
// what is left, or the next argument, as with getopt(3).
func (p *parser) short(arg string) error {
	for i := 1; i < len(arg); i++ {
		switch c := arg[i]; c {
		case 'f':
			p.cmd.Fake = true
		case 's':
			p.cmd.Sloppy = true
		case 'n':
			p.cmd.NoMtab = true
		case 'v':
			p.cmd.Verbose = true
		case 'r':
			p.options = append(p.options, "ro")
		case 'w':
			p.options = append(p.options, "rw")
		case 'h':
			return ErrHelp
		case 'V':
			return ErrVersion
		case 'o', 'N', 't':
			return p.withValue(c, arg[i+1:])
		default:
			_, size := utf8.DecodeRuneInString(arg[i:])
			return unknownFlag("-" + arg[i:i+size])
		}
	}
	return nil
}

// withValue applies -o, -N or -t.
func (p *parser) withValue(flag byte, val string) error {
	if val == "" {
		if len(p.rest) == 0 {
			return &Error{What: "flag -" + string(flag), Why: "nothing follows it", Do: "write " + usageOf(flag)}
		}
		val, p.rest = p.rest[0], p.rest[1:]
	}
	switch flag {
	case 'o':
		p.options = append(p.options, val)
	case 'N':
		if val == "" {
			return &Error{What: `flag -N ""`, Why: "empty", Do: "write " + usageOf(flag)}
		}
		p.cmd.Namespace = val
	case 't':
		if val != "tierfs" && val != "fuse.tierfs" {
			return &Error{What: "flag -t " + quote(val), Why: "not a type that this helper mounts", Do: "write " + usageOf(flag)}
		}
	}
	return nil
}

// usageOf is how a flag with a value is written.
func usageOf(flag byte) string {
	switch flag {
	case 'o':
		return "-o option,option=value"
	case 'N':
		return "-N with a namespace file or a process ID"
	}
	return "-t fuse.tierfs"
}

// takeOperands holds the operands to be exactly SPEC and DIR.
func (p *parser) takeOperands() error {
	const want = "give the primary directory and the mount point"
	switch n := len(p.operands); {
	case n == 0:
		return &Error{What: "no operands", Why: "nothing to mount", Do: want}
	case n == 1:
		return &Error{What: "operand " + quote(p.operands[0]), Why: "stands alone", Do: want}
	case n > 2:
		return &Error{What: "operand " + quote(p.operands[2]), Why: "one too many", Do: want + ", in quotes if there are spaces in them"}
	}
	p.cmd.Spec, p.cmd.Dir = p.operands[0], p.operands[1]
	if p.cmd.Spec == "" || p.cmd.Dir == "" {
		return &Error{What: `operand ""`, Why: "empty", Do: want}
	}
	return nil
}

func unknownFlag(flag string) error {
	return &Error{What: "unknown flag " + quote(flag), Why: "not a flag of mount helpers", Do: "see mount.tierfs --help"}
}
