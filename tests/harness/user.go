package harness

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// calls are the functions that tests run in a process of their own.
var calls = map[string]func(args []string) error{}

// Call names a function that tests run as another user: it is executed by a
// second self of the test binary. Declare it in a package variable, so that
// the second self knows it too:
//
//	var tryWrite = harness.Func("tryWrite", func(args []string) error { … })
type Call string

// Func registers fn under a name that is unique in the test binary.
func Func(name string, fn func(args []string) error) Call {
	if calls[name] != nil {
		panic("harness: two functions named " + name)
	}
	calls[name] = fn
	return Call(name)
}

func serveCall(name string, args []string) int {
	os.Unsetenv(envCall)
	fn := calls[name]
	if fn == nil {
		return complain(fmt.Errorf("no function named %q", name))
	}
	if err := fn(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// AsUser runs a command with the given credentials and none of root's.
func AsUser(t testing.TB, uid, gid int, groups []int, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return RunCmd(t, withCredentials(exec.Command(args[0], args[1:]...), uid, gid, groups))
}

// AsUser runs the function in a process with the given credentials. Code is 1
// when it returned an error, whose text is then in stderr.
func (c Call) AsUser(t testing.TB, uid, gid int, groups []int, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return RunCmd(t, withCredentials(c.Cmd(args...), uid, gid, groups))
}

// As is the function as a command with the given credentials, not yet started.
func (c Call) As(uid, gid int, args ...string) *exec.Cmd {
	return withCredentials(c.Cmd(args...), uid, gid, nil)
}

// Cmd is the function as a command that is not yet started.
func (c Call) Cmd(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), envCall+"="+string(c))
	return cmd
}

func withCredentials(cmd *exec.Cmd, uid, gid int, groups []int) *exec.Cmd {
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, g := range groups {
		cred.Groups = append(cred.Groups, uint32(g))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	cmd.Dir = "/" // the source tree may be closed to others
	return cmd
}
