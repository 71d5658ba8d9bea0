package main

import (
	"maps"
	"os"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/mountopt"
)

// Status answers GET /v1/status.
func (s *service) Status() control.Status {
	opts := s.inForce()
	opts.Flags = s.flagsNow(opts.Flags)
	return control.Status{
		Version:    version,
		PID:        os.Getpid(),
		Since:      s.since,
		Source:     s.cmd.Spec,
		MountPoint: s.dir(),
		Options:    opts.String(),
		Settings:   settingsOf(s.graph.resolve(opts)),
		Tiers:      s.graph.tiers(),
		Cache:      s.graph.cacheStatus(),
		Ops:        s.graph.ops(),
		Errors:     s.graph.errors(),
		Inodes:     s.graph.fs.Inodes(),
		Handles:    s.graph.fs.Handles(),
		Replays:    s.graph.fs.Replays(),
		Mover:      s.graph.moverStatus(),
	}
}

// settingsOf are the settings of a mount that is up.
func settingsOf(o mountopt.Options) map[string]control.Setting {
	all := map[string]control.Setting{}
	for name, value := range o.Settings() {
		if settings[name].idle() {
			continue
		}
		from := control.Default
		// mount(8) always says rw or ro, so that rw need not be anybody's wish.
		if o.Set[name] && !(name == "ro" && value == "off") {
			from = control.Given
		}
		all[name] = control.Setting{Value: value, From: from}
	}
	return all
}

func (s *service) inForce() mountopt.Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options
}

// LOCKS_REQUIRED(s.changing)
func (s *service) setInForce(o mountopt.Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options = o
}

// flagsNow are the mount's flags as the kernel has them: a remount changes them
// behind the daemon, and may fail. With the mount gone they are the last ones.
func (s *service) flagsNow(last uintptr) uintptr {
	mounts, err := daemon.Mounts()
	if err != nil {
		return last
	}
	m, ok := daemon.ByID(mounts, uint64(s.line.ID))
	if !ok || m.Dev() != s.line.Dev() {
		return last
	}
	return flagsOf(m)
}

// Remount answers POST /v1/remount. Nothing has changed if it refuses, but that
// of several new fallbacks those before a bad one are there.
func (s *service) Remount(r control.Remount) error {
	want := mountopt.Default()
	if err := want.Parse(r.Options, false); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.inForce()
	next, err := merge(now, want, r.Set)
	if err != nil {
		return err
	}
	var sink daemon.Sink
	if next.Log != now.Log {
		if sink, err = s.openSink(next.Log); err != nil {
			return err
		}
	}
	had := len(now.Fallbacks)
	if taken, err := s.graph.extend(next.Fallbacks[had:], s.dir(), s.line.Dev()); err != nil {
		now.Fallbacks = next.Fallbacks[:had+taken]
		s.setInForce(now)
		daemon.Discard(sink)
		return err
	}
	if sink != nil {
		s.log.MoveTo(sink)
	}
	next.Set = s.given(now, want, r.Set)
	s.log.SetDebug(next.Debug)
	s.graph.change(next)
	s.setInForce(next)
	next.Flags = want.Flags // which the helper is about to give to the kernel
	s.logger.Info("options changed", "options", next.String())
	return nil
}

// given are the settings that were given after a remount that names those in
// set. mount(8) repeats what holds already, which is nobody's wish.
func (s *service) given(now, want mountopt.Options, set []string) map[string]bool {
	all := maps.Clone(now.Set)
	now.Flags = s.flagsNow(now.Flags)
	was, is := s.graph.resolve(now).Settings(), s.graph.resolve(want).Settings()
	for _, name := range set {
		if was[name] != is[name] {
			all[name] = true
		}
	}
	return all
}

var _ control.Daemon = (*service)(nil)
