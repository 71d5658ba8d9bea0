package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fileSink appends to a file. Lines carry the time, the level and the process.
type fileSink struct {
	file *os.File
	path string

	// reach reports why path must not be opened now: it leads into the mount
	// that this daemon serves.
	reach func(path string) error
}

// OpenLogFile opens the file path for appending. reach is asked before each
// opening, with the path that symlinks in its directory lead to.
func OpenLogFile(path string, reach func(path string) error) (Sink, error) {
	s, err := logFile(path, reach)
	if err != nil {
		return nil, err
	}
	if s.file, err = s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// CheckLogFile tells the error of OpenLogFile, and makes no file.
func CheckLogFile(path string, reach func(path string) error) error {
	s, err := logFile(path, reach)
	if err != nil {
		return err
	}
	if err := reach(s.path); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, logFlags, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, fs.ErrNotExist):
		err = unix.Faccessat(unix.AT_FDCWD, filepath.Dir(s.path), unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	}
	if err != nil {
		return cannotWriteLog(s.path, err)
	}
	return nil
}

// logFlags are for open(2): without O_NONBLOCK a fifo would wait for a reader.
const logFlags = os.O_WRONLY | os.O_APPEND | unix.O_NONBLOCK

// logFile finds where path is, and opens nothing.
func logFile(path string, reach func(path string) error) (*fileSink, error) {
	if err := reach(path); err != nil { // before a symlink is looked at
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("log %q: %w; name a file in an existing directory", path, bare(err))
	}
	return &fileSink{path: filepath.Join(dir, filepath.Base(path)), reach: reach}, nil
}

func cannotWriteLog(path string, err error) error {
	return fmt.Errorf("log %q: %w; name a file that can be written", path, bare(err))
}

func (s *fileSink) open() (*os.File, error) {
	if err := s.reach(s.path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path, logFlags|os.O_CREATE, 0o640)
	if err != nil {
		return nil, cannotWriteLog(s.path, err)
	}
	return f, nil
}

func (s *fileSink) write(e entry) {
	head := fmt.Sprintf("%s tierfs[%d] %s ", e.at.Format(time.RFC3339), os.Getpid(), strings.ToLower(e.level.String()))
	_, _ = s.file.WriteString(head + strings.ReplaceAll(e.text, "\n", "\n"+head) + "\n")
}

// reopen keeps the old file if the new one cannot be had: there is no other
// place to say so.
func (s *fileSink) reopen() {
	f, err := s.open()
	if err != nil {
		s.write(entry{at: time.Now(), text: err.Error()})
		return
	}
	s.file.Close()
	s.file = f
}

func (s *fileSink) close() { s.file.Close() }
