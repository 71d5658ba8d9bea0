package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// limitAndExec does what the stage "enter" does, and lets the executed program
// say what is left.
func limitAndExec() error {
	if err := LimitCapabilities(); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), childEnv+"=status"))
}

func printStatus() error {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	fmt.Printf("%sSecurebits:\t%x\n", text, bits)
	return err
}

func TestExecutedProgramHasOnlyTheListedCapabilities(t *testing.T) {
	needRoot(t)
	out := runChild(t, child("caps"))
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		if got := field(t, out, set); got&^keptMask() != 0 || got == 0 {
			t.Errorf("%s is %x, list is %x", set, got, keptMask())
		}
	}
	for _, set := range []string{"CapInh", "CapAmb"} {
		if got := field(t, out, set); got&^keptMask() != 0 {
			t.Errorf("%s is %x, list is %x", set, got, keptMask())
		}
	}
	if got := field(t, out, "Securebits"); got&secbitNoSetuidFixup == 0 {
		t.Errorf("securebits are %x, NO_SETUID_FIXUP is not set", got)
	}
}

// With CAP_FSETID no write of another user clears a set-ID bit; with
// CAP_SYS_RESOURCE clients get past quotas.
func TestListLeavesOutWhatOpensHoles(t *testing.T) {
	for _, c := range []uint{unix.CAP_FSETID, unix.CAP_SYS_RESOURCE, unix.CAP_SETPCAP, unix.CAP_SYS_MODULE, unix.CAP_NET_ADMIN} {
		if keptMask()&(1<<c) != 0 {
			t.Errorf("capability %d is kept", c)
		}
	}
}

// field reads one hexadecimal line of /proc/PID/status.
func field(t *testing.T, status, name string) uint64 {
	t.Helper()
	for line := range strings.Lines(status) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			v, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no %s in %s", name, status)
	return 0
}
