package daemon

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func giveUpAndWait() error {
	if err := GiveUpStdio(); err != nil {
		return err
	}
	time.Sleep(time.Minute) // the test ends it
	return nil
}

// x=$(mount /srv/docs) hung until the file system was unmounted.
func TestGivenUpStdioEndsTheReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := child("stdio")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
	if out, err := io.ReadAll(r); err != nil || len(out) != 0 {
		t.Fatalf("read %q, %v; want the end of the file", out, err)
	}
}

// strays marks everything above 5 and says what is not marked.
func strays() error {
	for fd := 4; fd < 10; fd++ {
		if err := unix.Dup3(1, fd, 0); err != nil {
			return err
		}
	}
	mark := CloseOnExecFrom
	if os.Getenv("EACH") != "" {
		mark = markEach
	}
	if err := mark(6); err != nil {
		return err
	}
	for fd := range 10 {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fmt.Print(fd, " ")
		}
	}
	return nil
}

func TestStraysAreClosedOnExec(t *testing.T) {
	for _, env := range []string{"EACH=", "EACH=1"} {
		if got := strings.TrimSpace(runChild(t, child("strays", env))); got != "0 1 2 4 5" {
			t.Errorf("%s: left open: %s", env, got)
		}
	}
}
