package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
	"golang.org/x/sys/unix"
)

// Bounds of what is done at the end.
const (
	searchTime = 2 * time.Second // for who keeps the mount busy
	lingerTime = 2 * time.Second // after an unmount, until it is said that something holds on
)

// untilUnmounted waits for the end of the mount and heeds signals meanwhile. An
// error means that the connection ended in another way than by an unmount.
func (s *service) untilUnmounted() error {
	ended := make(chan error, 1)
	go func() { ended <- s.graph.wait() }() // ends with the connection
	var asked int
	var from string // where it was unmounted
	var linger <-chan time.Time
	unmounted := make(chan string, 1)
	for {
		select {
		case err := <-ended:
			if err != nil && s.goesAway() {
				err = nil
			}
			return err
		case sig := <-s.sigs:
			if sig == unix.SIGHUP {
				s.log.Reopen()
				continue
			}
			asked++
			// In a goroutine of its own: umount(2) may wait for a tier, and a
			// second signal must be heard. It ends with that call.
			go func(lazy bool) { unmounted <- s.unmount(lazy) }(asked > 1)
		case from = <-unmounted:
			if from != "" {
				linger = time.After(lingerTime)
			}
		case <-linger:
			s.logger.Warn(s.lingering(from))
		}
	}
}

// lingering is said of a mount that has gone from dir and is in use.
func (s *service) lingering(dir string) string {
	who := holdersOf(s.line.Minor)
	if who == "" {
		return fmt.Sprintf("unmounted %s: something still holds it, such as an open file or another mount namespace; end that, as it is served until then", dir)
	}
	return fmt.Sprintf("unmounted %s: still held by %s; end that, as it is served until then", dir, who)
}

// dir is where the mount is, or was at first.
func (s *service) dir() string {
	if at, err := s.lines(); err == nil && len(at) > 0 {
		return at[0].Dir
	}
	return s.point.Path
}

// goesAway reports whether the mount is no longer there, or not for long. Then
// the connection ended by an unmount, whatever its last read said: requests
// under way at that moment can make it ECONNABORTED. The line outlives the
// connection for a moment when umount(8) is forced.
func (s *service) goesAway() bool {
	for range 20 {
		if at, err := s.lines(); err == nil && len(at) == 0 {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// lines are those of this filesystem in mountinfo, see own.
func (s *service) lines() ([]daemon.Mount, error) {
	mounts, err := daemon.Mounts()
	return s.own(mounts), err
}

// own are the mounts of this filesystem: its own first, wherever that was moved to,
// then bind mounts of it.
func (s *service) own(mounts []daemon.Mount) (at []daemon.Mount) {
	for _, m := range mounts {
		switch {
		case m.Dev() != s.line.Dev() || m.Type != fstype:
		case m.ID == s.line.ID:
			at = slices.Insert(at, 0, m)
		default:
			at = append(at, m)
		}
	}
	return at
}

// unmount takes the mount away and returns from where, "" if it did not. A lazy one
// only leaves the tree: what is open is served to its end.
func (s *service) unmount(lazy bool) (from string) {
	from = s.dir()
	at, err := s.places()
	if err != nil {
		s.logger.Error(err.Error())
		return ""
	}
	for _, dir := range at {
		switch err := fusedev.Unmount(dir, lazy); {
		case err == nil, errors.Is(err, unix.EINVAL): // someone else was faster
		case errors.Is(err, unix.EBUSY):
			s.logger.Warn(fmt.Sprintf("unmount %s: busy%s; end them, or signal again to unmount lazily", dir, s.holders(dir)))
			return ""
		default:
			s.logger.Error(fmt.Sprintf("unmount %s: failed; umount -l it", dir), "err", err)
			return ""
		}
	}
	return from
}

// places are where this filesystem can be seen in our namespace. Where something else
// lies upon it, umount(2) would take that away instead.
func (s *service) places() ([]string, error) {
	mounts, err := daemon.Mounts()
	if err != nil {
		return nil, err
	}
	var at []string
	for _, m := range s.own(mounts) {
		if top, _ := daemon.Top(mounts, m.Dir); top.ID != m.ID {
			return nil, fmt.Errorf("unmount %s: %s is mounted upon it; unmount that first", m.Dir, top.Source)
		}
		at = append(at, m.Dir)
	}
	return at, nil
}

// holders says who keeps dir busy.
func (s *service) holders(dir string) string {
	var who []string
	mounts, _ := daemon.Mounts()
	for _, m := range mounts {
		if m.Dir != dir && daemon.Within(m.Dir, dir) {
			who = append(who, "the mount on "+m.Dir)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), searchTime)
	defer cancel()
	who = append(who, holderNames(daemon.Holders(ctx, dir))...)
	if len(who) == 0 {
		return " by the kernel (an export, a loop device, a swap file) or another namespace"
	}
	return " by " + strings.Join(who, ", ")
}
