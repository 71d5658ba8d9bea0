package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// op does the i-th piece of a client's work on name, beneath dirfd.
type op func(dirfd int, name string) error

// clients is a crowd of threads that each work through names of their own.
type clients struct {
	root  string // the directory that names are beneath
	names [][]string
	op    op
}

// run lets every client work through its names from one position to another,
// and returns how long that took them together.
func (c *clients) run(from, to int) (time.Duration, error) {
	// A goroutine in a system call keeps its P for 10 ms while there are idle
	// ones (sysmon's retake): with more of them than clients, no client ever
	// waits for one. And the collector is not part of what is measured.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(c.names) + runtime.NumCPU() + 2))

	var ready, done sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, len(c.names))
	for i, names := range c.names {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			errs[i] = c.client(names[from:to], ready.Done, start)
		}()
	}
	ready.Wait()
	begun := time.Now()
	close(start)
	done.Wait()
	return time.Since(begun), errors.Join(errs...)
}

// client opens the root, says that it is ready, and works.
func (c *clients) client(names []string, ready func(), start chan struct{}) error {
	dirfd, err := unix.Open(c.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	ready()
	<-start
	if err != nil {
		return err
	}
	defer unix.Close(dirfd)
	for _, name := range names {
		if err := c.op(dirfd, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
