package main

import (
	"fmt"
	"os"

	"github.com/tierfs/tierfs/internal/daemon"
)

// openSink opens the place that the option log= names.
func (s *service) openSink(to string) (daemon.Sink, error) {
	switch {
	case to == "" && s.cmd.Options.Foreground:
		return daemon.NewStream(os.Stderr, helperName+": "), nil
	case to == "", to == "syslog":
		return daemon.NewSyslog(cliName), nil
	}
	return daemon.OpenLogFile(to, s.outside)
}

// outside reports that a log file would lie in the mount. The daemon would keep
// its own mount busy, and to open the file it would have to answer itself.
func (s *service) outside(path string) error {
	in := daemon.Within(path, s.point.Path)
	mounts, _ := daemon.Mounts()
	for _, m := range mounts {
		in = in || m.Type == fstype && m.Dev() == s.line.Dev() && daemon.Within(path, m.Dir)
	}
	if in {
		return fmt.Errorf("log %q: lies in the mount itself; name a file elsewhere", path)
	}
	return nil
}
