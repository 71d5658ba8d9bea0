package life

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// holder is a process that keeps a mount busy until it is told to let go.
type holder struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// hold starts a process that keeps m busy: by an open file, by its working
// directory, by the program it runs, by a mapping, or by a copy of the mount
// table.
func hold(t *testing.T, m *harness.Mount, how string) *holder {
	t.Helper()
	harness.Write(t, m.Path("held"), "held")
	cmd := keep.Cmd(how, m.Dir)
	switch how {
	case "program":
		// cat answers each line by itself
		harness.Must(t, "cp", "/bin/cat", m.Path("program"))
		cmd = exec.Command(m.Path("program"))
	case "namespace":
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	h := &holder{t: t, cmd: cmd}
	h.in, _ = cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	h.out = bufio.NewReader(out)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.release() })
	if got := h.ask("ready"); got != "ready" {
		t.Fatalf("holder by %s: %q", how, got)
	}
	return h
}

func (h *holder) pid() int { return h.cmd.Process.Pid }

func (h *holder) comm() string {
	h.t.Helper()
	return strings.TrimSpace(harness.Read(h.t, fmt.Sprintf("/proc/%d/comm", h.pid())))
}

// ask sends a word and returns the answer.
func (h *holder) ask(word string) string {
	h.t.Helper()
	fmt.Fprintln(h.in, word)
	line, err := h.out.ReadString('\n')
	if err != nil {
		h.t.Fatalf("holder: %v", err)
	}
	return strings.TrimSpace(line)
}

// release ends the process.
func (h *holder) release() {
	if h.cmd.ProcessState == nil {
		h.in.Close()
		h.cmd.Wait()
	}
}

// keep is the program of a holder.
var keep = harness.Func("keep", func(args []string) error {
	how, dir := args[0], args[1]
	var f *os.File
	var err error
	switch how {
	case "directory":
		err = os.Chdir(dir)
	case "file", "map":
		f, err = os.OpenFile(dir+"/held", os.O_RDWR, 0)
	}
	if err != nil {
		return err
	}
	if how == "map" {
		if _, err := unix.Mmap(int(f.Fd()), 0, 4, unix.PROT_READ, unix.MAP_SHARED); err != nil {
			return err
		}
		f.Close()
	}
	words := bufio.NewScanner(os.Stdin)
	for words.Scan() {
		answer := words.Text()
		if answer == "read" {
			buf := make([]byte, 4)
			n, err := f.ReadAt(buf, 0)
			answer = string(buf[:n])
			if err != nil {
				answer = err.Error()
			}
		}
		fmt.Println(answer)
	}
	return nil
})
