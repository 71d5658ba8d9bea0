package main

import (
	"fmt"
	"os"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
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

// outside reports that a log file would lie in the mount of this daemon.
func (s *service) outside(path string) error { return outside(path, s.point.Path, s.line.Dev()) }

// outside reports that a log file would lie in the mount at point, which has the
// device dev. The daemon would keep its own mount busy, and to open the file it
// would have to answer itself.
func outside(path, point, dev string) error {
	in := daemon.Within(path, point)
	mounts, _ := daemon.Mounts()
	for _, m := range mounts {
		in = in || m.Type == fstype && m.Dev() == dev && daemon.Within(path, m.Dir)
	}
	if in {
		return fmt.Errorf("log %q: lies in the mount itself; name a file elsewhere", path)
	}
	return nil
}

// checkLog does for mount -f what openSink would.
func checkLog(o mountopt.Options, point daemon.MountPoint) error {
	if o.Log == "" || o.Log == "syslog" {
		return nil
	}
	return daemon.CheckLogFile(o.Log, func(path string) error { return outside(path, point.Path, point.Top.Dev()) })
}

// warnUnheard says that the log goes to a syslog which is not there, if it does.
// It comes when all is well otherwise: an error is one line.
func warnUnheard(o mountopt.Options) {
	if o.Log != "syslog" && (o.Log != "" || o.Foreground) || daemon.SyslogListens() {
		return
	}
	say(helperName, "log: nobody listens on /dev/log, so that messages are lost until a system logger does; start one, or give log=FILE")
}
