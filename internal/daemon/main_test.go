package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// childEnv names the function that a re-executed test binary runs instead of
// the tests: what binds a thread or a process for good needs one of its own.
const childEnv = "TIERFS_TEST_CHILD"

// children are the functions by name. Their output goes to standard output.
var children = map[string]func() error{
	"caps":      limitAndExec,
	"status":    printStatus,
	"stdio":     giveUpAndWait,
	"ready":     tellReady,
	"crash":     crashInDir,
	"strays":    strays,
	"namespace": listNamespace,
}

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	// Of two entries the first one counts: a child that executes another one
	// would become itself again, for ever.
	_ = os.Unsetenv(childEnv)
	runtime.LockOSThread()
	if err := children[name](); err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
}

// child is the command that runs one of children.
func child(name string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), childEnv+"="+name), env...)
	return cmd
}

func runChild(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// needRoot skips, or fails where TIERFS_REQUIRE says that root is there.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if strings.Contains(os.Getenv("TIERFS_REQUIRE"), "root") {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}
