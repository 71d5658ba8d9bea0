package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds the waits for a daemon to mount and to end.
const patience = 20 * time.Second

// mounted is a subject in use. Its daemon is a child in the foreground, so that
// its end can be waited for.
type mounted struct {
	*subject
	daemon *exec.Cmd
	said   bytes.Buffer
	ended  chan error
	up     bool // without a daemon
}

// start mounts the subject.
func (m *mounted) start() error {
	if m.kernel != nil {
		return m.startKernel()
	}
	if m.command == nil {
		return nil
	}
	argv := m.command(m.subject)
	m.daemon = exec.Command(argv[0], argv[1:]...)
	m.daemon.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return v == noPreemption })
	m.daemon.Stdout, m.daemon.Stderr = &m.said, &m.said
	// ^C in a terminal goes to the whole process group: the daemon is to live
	// until it is unmounted.
	m.daemon.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := m.daemon.Start(); err != nil {
		m.daemon = nil
		return err
	}
	m.ended = make(chan error, 1)
	go func() { m.ended <- m.daemon.Wait() }()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if isMounted(m.dir) && m.answers() {
			_, err := os.Stat(m.dir)
			return err
		}
		select {
		case err := <-m.ended:
			m.daemon = nil
			return fmt.Errorf("%s: it ended before it was mounted: %v: %s", argv[0], err, m.lastWords())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not mounted after %s: %s", argv[0], patience, m.lastWords())
		}
	}
}

// answers reports whether the daemon can be asked for its status, as tierfs can a
// moment after its mount shows.
func (m *mounted) answers() bool {
	if m.tierfs == "" {
		return true
	}
	_, err := m.status(context.Background())
	return err == nil
}

// startKernel mounts what needs no daemon.
func (m *mounted) startKernel() error {
	fstype, options := m.kernel(m.subject)
	if err := unix.Mount(m.name, m.dir, fstype, 0, options); err != nil {
		return fmt.Errorf("mount %s: %w", fstype, err)
	}
	m.up = true
	return nil
}

func (m *mounted) lastWords() string { return strings.TrimSpace(m.said.String()) }

// stop unmounts and waits for the daemon's end.
func (m *mounted) stop() error {
	if m.up {
		m.up = false
		unmount(m.dir)
	}
	if m.daemon == nil {
		return nil
	}
	unmount(m.dir)
	defer func() { m.daemon = nil }()
	select {
	case err := <-m.ended:
		if err != nil {
			return fmt.Errorf("daemon: %w: %s", err, m.lastWords())
		}
		return nil
	case <-time.After(patience):
		_ = m.daemon.Process.Kill()
		<-m.ended
		return errors.New("daemon: it did not end after the unmount and was killed")
	}
}

// isMounted reports whether something is mounted at dir.
func isMounted(dir string) bool {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	return bytes.Contains(text, []byte(" "+dir+" "))
}
