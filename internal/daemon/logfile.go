package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
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
	if err := reach(path); err != nil { // before a symlink is looked at
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("log %q: %w; name a file in an existing directory", path, bare(err))
	}
	s := &fileSink{path: filepath.Join(dir, filepath.Base(path)), reach: reach}
	s.file, err = s.open()
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *fileSink) open() (*os.File, error) {
	if err := s.reach(s.path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log %q: %w; name a file that can be written", s.path, bare(err))
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
