package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// dataFile and a number name the files of data, of which each subject has
// dataFiles in its primary; newFile names those that are written anew.
const (
	dataFile  = "data"
	newFile   = "new"
	dataFiles = 8
)

// pattern is a way to go through files: fio's word and ours.
type pattern struct{ rw, name string }

var patterns = []pattern{
	{"read", "sequential read"}, {"write", "sequential write"},
	{"randread", "random read"}, {"randwrite", "random write"},
}

func (p pattern) writes() bool { return p.rw == "write" || p.rw == "randwrite" }

// jobs are all that is measured of a pattern. What is written one after the
// other to the cache is new, as it is when files are copied. O_DIRECT comes last:
// it takes from the cache what the others find there, if it is not refused.
func (p pattern) jobs() []fioJob {
	fresh := p.rw == "write"
	jobs := []fioJob{
		{name: "1 MiB", rw: p.rw, block: "1m", fresh: fresh},
		{name: "4 KiB", rw: p.rw, block: "4k", fresh: fresh},
		{name: "4 KiB, mmap", rw: p.rw, block: "4k", mapped: true},
	}
	if p.writes() {
		jobs = append(jobs, fioJob{name: "4 KiB, then fsync", rw: p.rw, block: "4k", fresh: fresh, sync: true})
	}
	return append(jobs,
		fioJob{name: "1 MiB, O_DIRECT", rw: p.rw, block: "1m", direct: true},
		fioJob{name: "4 KiB, O_DIRECT", rw: p.rw, block: "4k", direct: true})
}

// inChart are the rows of data that have bars.
var inChart = map[string]bool{
	"sequential read 1 MiB": true, "sequential write 1 MiB": true, "random read 4 KiB": true, "random write 4 KiB": true,
	"random read 4 KiB, O_DIRECT": true, "random write 4 KiB, O_DIRECT": true,
}

// inQuickRun are the jobs that are done in a quick run: fio takes a third of a
// second for each, however short they are.
var inQuickRun = map[string]bool{"1 MiB": true, "4 KiB": true, "4 KiB, O_DIRECT": true}

func dataTrials(s scale) []trial {
	var trials []trial
	for _, n := range s.jobs {
		for _, p := range patterns {
			jobs := p.jobs()
			if s.quick {
				jobs = slices.DeleteFunc(jobs, func(j fioJob) bool { return !inQuickRun[j.name] })
			}
			t := trial{writes: p.writes()}
			for _, j := range jobs {
				name := p.name + " " + j.name
				t.rows = append(t.rows, row{name: name, clients: n, kind: data, aim: aimData, chart: n == 1 && inChart[name]})
			}
			t.run = func(l *lab, m *mounted, put put) error { return runData(l, m, jobs, n, put) }
			trials = append(trials, t)
		}
	}
	return trials
}

// runData brings the files into the cache through the mount, and lets fio work.
func runData(l *lab, m *mounted, jobs []fioJob, n int, put put) error {
	if err := l.settleDisks(); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	before, err := m.ops(l.ctx)
	if err != nil {
		return err
	}
	for i := range n {
		if err := readThrough(fmt.Sprintf("%s/%s.%d", m.root(0), dataFile, i)); err != nil {
			return err
		}
	}
	err = l.fio(m.root(0), jobs, n, func(i int, us float64) { put(i, us) })
	if err != nil {
		return err
	}
	after, err := m.ops(l.ctx)
	if err != nil {
		return err
	}
	l.counted.add(before, after)
	return m.stop()
}

// readThrough reads a file to its end.
func readThrough(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Read(buf)
	}
	if err != io.EOF {
		return err
	}
	return nil
}

// makeData gives a subject its data files. All have the same ones, by hard
// links: each reads the same blocks, and the same page cache.
func makeData(tier, first string, size int64) error {
	for i := range dataFiles {
		name := fmt.Sprintf("%s.%d", dataFile, i)
		var err error
		if first == "" {
			err = writeFile(filepath.Join(tier, name), size)
		} else {
			err = os.Link(filepath.Join(first, name), filepath.Join(tier, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes a file of size bytes that are not zeros.
func writeFile(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte("tierfs. "), 1<<17)
	for ; size > 0 && err == nil; size -= int64(len(block)) {
		_, err = f.Write(block[:min(size, int64(len(block)))])
	}
	return errors.Join(err, f.Close())
}
