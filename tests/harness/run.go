package harness

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience bounds every command: the slowest honest one is mkfs or a mount
// that waits for a tier, far below it.
const patience = 30 * time.Second

// Run runs a command to its end and returns what it said and its exit code.
func Run(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return RunCmd(t, exec.Command(args[0], args[1:]...))
}

// Must is Run for a command that has to succeed; it returns stdout.
func Must(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code := Run(t, args...)
	if code != 0 {
		t.Fatalf("%q: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// Sh runs a shell script, with $1… set to args.
func Sh(t testing.TB, script string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return Run(t, append([]string{"/bin/sh", "-c", script, "sh"}, args...)...)
}

// RunCmd is Run for a command that the caller has prepared. A command that
// ends but leaves its output open to a daemon fails the test: a shell's
// x=$(mount …) would hang on it.
func RunCmd(t testing.TB, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	var where string
	known := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		where = hung(cmd)
		close(known)
		cmd.Process.Kill()
	})
	err := cmd.Wait()
	if !stop() {
		<-known
		t.Fatalf("%q: not done after %v\n%s%s%s", cmd.Args, patience, where, &out, &errs)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%q: ended, but something it started holds its output open", cmd.Args)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// OneLine fails the test unless text is a single line that has every part.
func OneLine(t testing.TB, text string, parts ...string) {
	t.Helper()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("want one line, got %q", text)
	}
	Contains(t, text, parts...)
}

// Contains fails the test unless text has every part.
func Contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("want %q in %q", part, text)
		}
	}
}

// Eventually waits until ok says true, and fails the test after five seconds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Within(5*time.Second, ok) {
		t.Fatalf("not within five seconds: %s", what)
	}
}

// Within reports whether ok comes true in that time.
func Within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
