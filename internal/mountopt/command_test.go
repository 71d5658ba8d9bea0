package mountopt

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// parsed is what the tests of the command line compare: the options as a string.
type parsed struct {
	spec, dir, flags, namespace string
	readOnly                    bool
	fallbacks                   []string
}

func summary(c Command) parsed {
	flags := ""
	for _, f := range []struct {
		name string
		set  bool
	}{{"f", c.Fake}, {"s", c.Sloppy}, {"n", c.NoMtab}, {"v", c.Verbose}} {
		if f.set {
			flags += f.name
		}
	}
	return parsed{c.Spec, c.Dir, flags, c.Namespace, c.Options.Flags&unix.MS_RDONLY != 0, c.Options.Fallbacks}
}

func TestCommandTakesFlagsAndOperandsInAnyOrder(t *testing.T) {
	for _, tt := range []struct {
		args string // cut at blanks
		want parsed
	}{
		{"/a /b", parsed{spec: "/a", dir: "/b"}},
		{"/a /b -o rw,fallback=/c", parsed{spec: "/a", dir: "/b", fallbacks: []string{"/c"}}},
		{"-o fallback=/c /a /b", parsed{spec: "/a", dir: "/b", fallbacks: []string{"/c"}}},
		{"/a -ofallback=/c /b", parsed{spec: "/a", dir: "/b", fallbacks: []string{"/c"}}},
		{"/a /b -o fallback=/c -o fallback=/d:/e", parsed{spec: "/a", dir: "/b", fallbacks: []string{"/c", "/d", "/e"}}},
		{"/a /b -sfnv", parsed{spec: "/a", dir: "/b", flags: "fsnv"}},
		{"-s /a -f /b -v -n", parsed{spec: "/a", dir: "/b", flags: "fsnv"}},
		{"/a /b -vo ro", parsed{spec: "/a", dir: "/b", flags: "v", readOnly: true}},
		{"/a /b -vfofallback=/c", parsed{spec: "/a", dir: "/b", flags: "fv", fallbacks: []string{"/c"}}},
		{"-r /a /b", parsed{spec: "/a", dir: "/b", readOnly: true}},
		{"/a /b -r -o rw", parsed{spec: "/a", dir: "/b"}},
		{"/a /b -o rw -r", parsed{spec: "/a", dir: "/b", readOnly: true}},
		{"/a /b -o ro -w", parsed{spec: "/a", dir: "/b"}},
		{"-N 1234 /a /b", parsed{spec: "/a", dir: "/b", namespace: "1234"}},
		{"/a /b -N/proc/1/ns/mnt", parsed{spec: "/a", dir: "/b", namespace: "/proc/1/ns/mnt"}},
		{"/a /b -t fuse.tierfs", parsed{spec: "/a", dir: "/b"}},
		{"/a /b -ttierfs", parsed{spec: "/a", dir: "/b"}},
		{"-s -- -a -b", parsed{spec: "-a", dir: "-b", flags: "s"}},
		{"- /b", parsed{spec: "-", dir: "/b"}},
		{"/a /b -o unheard -s", parsed{spec: "/a", dir: "/b", flags: "s"}},
		{"rel /b/", parsed{spec: "rel", dir: "/b/"}},
	} {
		c, err := ParseCommand(strings.Fields(tt.args))
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
		} else if got := summary(c); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.args, got, tt.want)
		}
	}
}

func TestCommandErrorsSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, `no operands: nothing to mount; give the primary directory and the mount point`},
		{[]string{"/a"}, `operand "/a": stands alone; give the primary directory and the mount point`},
		{[]string{"/a", "b", "c d"}, `operand "c d": one too many; give the primary directory and the mount point, in quotes if there are spaces in them`},
		{[]string{"", "/b"}, `operand "": empty; give the primary directory and the mount point`},
		{[]string{"/a", ""}, `operand "": empty; give the primary directory and the mount point`},
		{[]string{"/a", "/b", "-o"}, `flag -o: nothing follows it; write -o option,option=value`},
		{[]string{"/a", "/b", "-sN"}, `flag -N: nothing follows it; write -N with a namespace file or a process ID`},
		{[]string{"/a", "/b", "-N", ""}, `flag -N "": empty; write -N with a namespace file or a process ID`},
		{[]string{"/a", "/b", "-t"}, `flag -t: nothing follows it; write -t fuse.tierfs`},
		{[]string{"/a", "/b", "-t", "ext4"}, `flag -t "ext4": not a type that this helper mounts; write -t fuse.tierfs`},
		{[]string{"/a", "/b", "-t", "fuse.other"}, `flag -t "fuse.other": not a type that this helper mounts; write -t fuse.tierfs`},
		{[]string{"/a", "/b", "-x"}, `unknown flag "-x": not a flag of mount helpers; see mount.tierfs --help`},
		{[]string{"/a", "/b", "-fé"}, `unknown flag "-é": not a flag of mount helpers; see mount.tierfs --help`},
		{[]string{"/a", "/b", "-\xff"}, `unknown flag "-\xff": not a flag of mount helpers; see mount.tierfs --help`},
		{[]string{"/a", "/b", "--fake\n"}, `unknown flag "--fake\n": not a flag of mount helpers; see mount.tierfs --help`},
		{[]string{"/a", "/b", "-o=x"}, `option "=x": no name before the equals sign; write name=value`},
		{[]string{"/a", "/b", "-o", "="}, `option "=": no name before the equals sign; write name=value`},
		{[]string{"/a", "/b", "-s", "-o", "minfree=x"}, `minfree "x": want a percentage such as 1% or a size such as 2G`},
	} {
		c, err := ParseCommand(tt.args)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q:\n got %v\nwant %s", tt.args, err, tt.want)
		}
		if !reflect.DeepEqual(c, Command{}) {
			t.Errorf("%q: an error came with a command", tt.args)
		}
	}
}

func TestCommandReportsHelpAndVersion(t *testing.T) {
	for args, want := range map[string]error{
		"-h": ErrHelp, "--help": ErrHelp, "/a -vh": ErrHelp, "/a /b /c -o bad -h": ErrHelp,
		"-V": ErrVersion, "--version": ErrVersion, "-fV -x": ErrVersion,
	} {
		if _, err := ParseCommand(strings.Fields(args)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", args, err, want)
		}
	}
	c, err := ParseCommand([]string{"--", "--help", "-h"})
	if err != nil || c.Spec != "--help" || c.Dir != "-h" {
		t.Errorf("behind --: got %+v, %v", c, err)
	}
}

// This is what mount -av makes of an fstab line, as util-linux 2.38 calls the helper.
func TestCommandOfFstabLine(t *testing.T) {
	c, err := ParseCommand([]string{"/srv/my docs", "/srv/docs", "-v", "-o",
		"rw,noexec,nosuid,nodev,noatime,fallback=/srv/slow,user,_netdev,nofail"})
	if err != nil {
		t.Fatal(err)
	}
	o := c.Options
	const flags = unix.MS_NOEXEC | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
	if c.Spec != "/srv/my docs" || !c.Verbose || !o.NoFail || o.Flags != flags || len(o.Warnings) != 0 {
		t.Errorf("got %+v", c)
	}
}
