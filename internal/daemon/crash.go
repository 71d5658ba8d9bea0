package daemon

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"golang.org/x/sys/unix"
)

// crashSuffix ends the names of crash reports, which begin with the PID.
const crashSuffix = ".crash"

// maxReport bounds what of a report is repeated in the log.
const maxReport = 8 << 10

// CrashFile is where the Go runtime writes when the process dies of a panic
// that nothing catches: standard error is given up by then, and syslog takes no
// writes of a dying program. The next daemon finds it (CrashReports).
//
// It is locked for as long as the process lives: a PID alone may be that of
// another by now, and the directory be shared by PID namespaces.
type CrashFile struct{ path string }

// OpenCrashFile directs the runtime's last words to a file in dir, an existing
// directory. The file gets its name when it is locked.
func OpenCrashFile(dir string) (CrashFile, error) {
	path := filepath.Join(dir, strconv.Itoa(os.Getpid())+crashSuffix)
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return CrashFile{}, err
	}
	defer f.Close() // the runtime has a duplicate, and the lock with it
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = os.Remove(temp)
		return CrashFile{}, err
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return CrashFile{}, err
	}
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
	var reports []string
	eachDead(dir, func(name, text string) {
		if text != "" {
			reports = append(reports, text)
		}
		_ = os.Remove(name)
	})
	return reports
}

// SweepCrashFiles removes those that tell nothing.
func SweepCrashFiles(dir string) {
	eachDead(dir, func(name, text string) {
		if text == "" {
			_ = os.Remove(name)
		}
	})
}

// eachDead calls fn with the file of each daemon that is gone, and what it says.
func eachDead(dir string, fn func(name, text string)) {
	names, _ := filepath.Glob(filepath.Join(dir, "*"+crashSuffix))
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
			text, _ := io.ReadAll(io.LimitReader(f, maxReport))
			fn(name, string(bytes.TrimSpace(text)))
		}
		f.Close()
	}
}
