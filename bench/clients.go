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

// op does one piece of a client's work on name, beneath dirfd.
type op func(dirfd int, name string) error

// clients is a crowd of threads that each work through names of their own.
type clients struct {
	root string // the directory that names are beneath
	op   op
}

// run lets every client work through its names, and returns how long that took
// them together.
func (c clients) run(names [][]string) (time.Duration, error) {
	// A goroutine in a system call keeps its P for 10 ms while there are idle
	// ones (sysmon's retake): with more of them than clients, no client ever
	// waits for one. And the collector is not part of what is measured.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(names) + runtime.NumCPU() + 2))

	var ready, done sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, len(names))
	for i, own := range names {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			errs[i] = c.client(own, ready.Done, start)
		}()
	}
	ready.Wait()
	begun := time.Now()
	close(start)
	done.Wait()
	return time.Since(begun), errors.Join(errs...)
}

// client opens the root, says that it is ready, and works.
func (c clients) client(names []string, ready func(), start chan struct{}) error {
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

// timed is run as µs an op, of which there are so many.
func (c clients) timed(names [][]string, ops int) (float64, error) {
	took, err := c.run(names)
	return took.Seconds() * 1e6 / float64(ops), err
}
