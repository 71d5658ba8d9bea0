package daemon

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// crashSuffix ends the names of crash reports, which begin with the PID.
const crashSuffix = ".crash"

// maxReport bounds what of a report is repeated in the log.
const maxReport = 8 << 10

// CrashFile is where the Go runtime writes when the process dies of a panic
// that nothing catches: standard error is given up by then, and syslog takes no
// writes of a dying program. The next daemon finds it (CrashReports).
type CrashFile struct{ path string }

// OpenCrashFile directs the runtime's last words to a file in dir, an existing
// directory.
func OpenCrashFile(dir string) (CrashFile, error) {
	path := filepath.Join(dir, strconv.Itoa(os.Getpid())+crashSuffix)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return CrashFile{}, err
	}
	defer f.Close() // the runtime has its own descriptor
	return CrashFile{path}, debug.SetCrashOutput(f, debug.CrashOptions{})
}

// Remove ends it: the process leaves in order.
func (c CrashFile) Remove() {
	if c.path == "" {
		return
	}
	_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
	_ = os.Remove(c.path)
}

// CrashReports returns what daemons that are gone left in dir, and removes it.
// Empty files are those of daemons that were killed.
func CrashReports(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "*"+crashSuffix))
	var reports []string
	for _, name := range names {
		pid, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), crashSuffix))
		if err != nil || alive(pid) {
			continue
		}
		if text := readReport(name); text != "" {
			reports = append(reports, text)
		}
		_ = os.Remove(name)
	}
	return reports
}

func readReport(name string) string {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxReport))
	return string(bytes.TrimSpace(text))
}

func alive(pid int) bool { return pid > 0 && unix.Kill(pid, 0) != unix.ESRCH }
