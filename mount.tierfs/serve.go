package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mountopt"
	"golang.org/x/sys/unix"
)

// logTime is how long the end of the daemon waits for the log.
const logTime = time.Second

// service is one mount and the process that serves it.
//
// LOCK ORDER: changing before mu, because a remount waits for tiers, which may
// hang, and a status must not wait for the remount.
type service struct {
	cmd   mountopt.Command
	point daemon.MountPoint
	since time.Time

	log    *daemon.Log
	logger *slog.Logger
	sigs   chan os.Signal
	ready  daemon.Ready
	graph  *graph
	line   daemon.Mount // of this mount in mountinfo

	changing sync.Mutex // held by a remount from its beginning to its end

	mu      sync.Mutex
	options mountopt.Options // GUARDED_BY(mu): in force; changed with changing held
	mounted bool             // GUARDED_BY(mu): mount(2) has succeeded
	settled bool             // GUARDED_BY(mu): the word has been told
	control *control.Server  // GUARDED_BY(mu): nil if there is no socket
	crash   daemon.CrashFile // GUARDED_BY(mu)
}

// serve is the stage that becomes the daemon.
func serve(args []string) (code int) {
	cmd, err := mountopt.ParseCommand(args[1:])
	if err != nil {
		return report(helperName, err)
	}
	s := newService(cmd)
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error(fmt.Sprintf("panic: %v; please report it", p), "stack", string(debug.Stack()))
			s.undo()
			code = exitSystem
		}
		s.log.Close(logTime)
	}()
	if err := s.start(args[0]); err != nil {
		s.undo()
		return s.giveUp(err)
	}
	if err = s.untilUnmounted(); err != nil {
		s.logger.Error(err.Error())
	}
	s.end()
	return codeOf(err)
}

func newService(cmd mountopt.Command) *service {
	s := &service{
		cmd:     cmd,
		since:   time.Now(),
		log:     daemon.NewLog(os.Stderr, helperName+": ", cmd.Verbose),
		sigs:    make(chan os.Signal, 8),
		options: cmd.Options,
	}
	s.logger = s.log.Logger()
	s.log.SetDebug(cmd.Options.Debug)
	return s
}

// start does everything up to the word to the helper. On an error the caller
// undoes what was done.
func (s *service) start(argv0 string) (err error) {
	s.prepare(argv0)
	if !s.cmd.Options.Foreground {
		if s.ready, err = daemon.OpenReady(); err != nil {
			return failure{exitSystem, err}
		}
	}
	settled := make(chan struct{})
	defer close(settled)
	go s.heedEarlySignals(settled)
	if s.point, err = daemon.FindMountPoint(s.cmd.Dir); err != nil {
		return err
	}
	sink, err := s.openSink(s.options.Log)
	if err != nil {
		return failure{exitUsage, err}
	}
	if err := s.open(); err != nil {
		return err
	}
	if err := s.mount(); err != nil {
		return err
	}
	return s.settle(sink)
}

// prepare sets what holds for the whole process.
func (s *service) prepare(argv0 string) {
	signal.Notify(s.sigs, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	// Standard error may be a pipe, in the foreground. A limit that could not be
	// raised gives EFBIG to one client, and does not end the daemon of all.
	signal.Ignore(unix.SIGPIPE, unix.SIGXFSZ)
	unix.Umask(0) // modes are the client's
	// A worker that comes back from read(2) needs a P at once. The watchdog, the watches
	// of the tiers, the mover and ops that wait for a disk hold some.
	runtime.GOMAXPROCS(runtime.NumCPU() + 6)
	daemon.NameProcess(argv0)
}

// open opens the tiers, before the mount covers any of them.
func (s *service) open() error {
	roots, err := tierPaths(s.cmd)
	if err != nil {
		return err
	}
	s.options.Fallbacks = roots[1:]
	s.graph, err = newGraph(roots, s.point.Path, s.options, s.logger)
	if err != nil {
		return err
	}
	return unix.Chdir("/") // the caller's directory must not stay busy
}

// mount mounts and begins to serve.
func (s *service) mount() error {
	dev, err := s.attach()
	if err != nil {
		return err
	}
	if err := s.graph.serve(dev); err != nil {
		return err
	}
	if err := s.findLine(); err != nil {
		return err
	}
	s.graph.sign(s.line.Minor)
	s.graph.guard(s.line.Minor)
	s.graph.startMover(s.visible)
	return nil
}

// attach mounts. The helper has found the place vacant, but the tiers and their locks may
// have been waited for since, and two mounts at one time both find it so. The mutex keeps
// an early signal from ending the process between mount(2) and the note that it was done.
func (s *service) attach() (dev int, err error) {
	defer s.point.Lock()()
	now, err := daemon.FindMountPoint(s.point.Path)
	if err == nil {
		err = vacant(now)
	}
	if err != nil {
		return -1, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dev, err = fusedev.Mount{
		Source:     s.cmd.Spec,
		Dir:        s.point.Path,
		Subtype:    "tierfs",
		Flags:      s.options.Flags,
		AllowOther: allowsOthers(s.options, os.Geteuid()),
		MaxRead:    s.options.MaxRead,
		Data:       s.options.Data,
	}.Open()
	s.mounted = err == nil
	return dev, err
}

// visible reports whether the mount is in our namespace still.
func (s *service) visible() bool {
	at, err := s.lines()
	return err != nil || len(at) > 0
}

// allowsOthers reports whether other users may use the mount: unless told
// otherwise those of root, as with any filesystem, and not those of a user,
// who would need user_allow_other in /etc/fuse.conf.
func allowsOthers(o mountopt.Options, uid int) bool {
	return o.AllowOther || uid == 0 && !o.Private
}

// findLine finds the mount in mountinfo. The mount point itself is not to be
// touched any more: the answer would have to come from here.
func (s *service) findLine() error {
	mounts, err := daemon.Mounts()
	if err != nil {
		return err
	}
	top, ok := daemon.Top(mounts, s.point.Path)
	if !ok || top.Type != fstype || top.Source != s.cmd.Spec {
		return fmt.Errorf("mount point %q: mounted, but mountinfo does not show it; see the kernel log", s.point.Path)
	}
	s.line = top
	return nil
}

// settle leaves the caller: its session, its terminal, its pipes. From the word
// on the mount is the daemon's own affair.
func (s *service) settle(sink daemon.Sink) error {
	s.openControl()
	if !s.cmd.Options.Foreground {
		if err := daemon.GiveUpStdio(); err != nil {
			return failure{exitSystem, err}
		}
		// Now and not before: an automount point lets only the mounter's process
		// group through while it is being mounted.
		_, _ = unix.Setsid()
	}
	s.log.MoveTo(sink)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ready.Tell(daemon.Mounted); err != nil {
		return failure{exitInterrupted, errors.New("the mount helper has gone; nothing is mounted")}
	}
	s.settled = true
	s.logger.Info(fmt.Sprintf("%s mounted on %s", s.cmd.Spec, s.point.Path), "version", version)
	return nil
}

// openControl opens the control socket and the crash report beside it. The
// mount is as good without them, and a user without a session has no place for
// them.
func (s *service) openControl() {
	dir := control.Dir(os.Geteuid())
	level := slog.LevelWarn
	if os.Geteuid() != 0 {
		level = slog.LevelInfo
	}
	err := control.MakeDir(dir)
	if err == nil {
		s.openCrashFile(dir)
		err = s.listen(control.Path(dir, s.line.Major, s.line.Minor))
	}
	if err != nil {
		s.logger.Log(context.Background(), level, "control socket: not to be had, so that tierfs and remount cannot reach this mount; see to the cause and mount anew", "dir", dir, "err", err)
	}
}

func (s *service) listen(path string) error {
	l, err := control.Listen(path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control = control.Serve(l, s, s.logger)
	return nil
}

// openCrashFile repeats what daemons before this one died of, and makes room
// for our own last words.
func (s *service) openCrashFile(dir string) {
	for _, r := range daemon.CrashReports(dir) {
		s.logger.Error("a daemon has died of a panic; please report it", "report", r+"\n")
	}
	if s.cmd.Options.Foreground {
		return // standard error shows them
	}
	crash, err := daemon.OpenCrashFile(dir)
	if err != nil {
		s.logger.Info("crash report: no place for one, so that what a crash says is lost; see to the cause and mount anew", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crash = crash
}

// giveUp says why there is no mount and returns the exit code. With nofail a
// missing tier is a warning, and the helper is told that all is well.
func (s *service) giveUp(err error) int {
	if s.cmd.Options.NoFail && isMissing(err) {
		s.logger.Warn(forgiven(err))
		_ = s.ready.Tell(daemon.Nothing)
		return exitOK
	}
	s.logger.Error(err.Error())
	return codeOf(err)
}

// undo removes the mount of a start that failed, and reports whether it did: a
// mount that clients use already is never removed under them.
func (s *service) undo() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return false
	}
	if s.mounted {
		s.mounted = false
		if err := fusedev.Unmount(s.point.Path, true); err != nil {
			s.logger.Error(fmt.Sprintf("unmount %s: failed; umount -l it", s.point.Path), "err", err)
		}
	}
	s.cleanUp()
	return true
}

// end leaves in order after the kernel has ended the connection. Whoever waits
// for a job is told how it ended, so the jobs end before the socket does, and it
// is waited for without the locks that their answers may need. So a remount that has not
// ended by then hangs.
func (s *service) end() {
	s.graph.endWork()
	s.mu.Lock()
	socket := s.control
	s.mu.Unlock()
	if socket != nil {
		socket.Close(graceTime)
	}
	if !s.changing.TryLock() {
		s.logger.Warn("a remount still waits for a tier or a log that does not answer, and is left behind; check the disk or server")
	}
	s.mu.Lock()
	s.crash.Remove()
	s.mu.Unlock()
	s.graph.close()
	s.logger.Info(s.point.Path + " served to its end")
}

// cleanUp removes at once what the daemon keeps in the runtime directory.
//
// LOCKS_REQUIRED(s.mu)
func (s *service) cleanUp() {
	if s.control != nil {
		s.control.Close(0)
		s.control = nil
	}
	s.crash.Remove()
}

// heedEarlySignals ends the process on the first signal if the word has not
// been told: the main goroutine may hang in a tier that does not answer.
// Later signals are for untilUnmounted.
func (s *service) heedEarlySignals(settled <-chan struct{}) {
	for {
		select {
		case <-settled:
			return
		case sig := <-s.sigs:
			if sig == unix.SIGHUP {
				s.log.Reopen()
				continue
			}
			if !s.undo() {
				s.sigs <- sig
				return
			}
			s.logger.Error("interrupted; nothing is mounted")
			s.log.Close(logTime)
			os.Exit(exitInterrupted)
		}
	}
}
