package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// dataFile lies in every subject's primary.
const dataFile = "data"

// dataCase is one fio job (fio(1)).
type dataCase struct {
	name   string
	rw     string
	block  string
	direct bool
	fresh  bool // writes a new file once, rather than the data file for a time
}

var dataCases = []dataCase{
	{"seq read 1 MiB, cached", "read", "1m", false, false},
	{"seq read 1 MiB, O_DIRECT", "read", "1m", true, false},
	{"seq write 1 MiB, new file", "write", "1m", false, true},
	{"seq write 1 MiB, O_DIRECT", "write", "1m", true, false},
	{"random read 4 KiB, cached", "randread", "4k", false, false},
	{"random read 4 KiB, O_DIRECT", "randread", "4k", true, false},
	{"random write 4 KiB, cached", "randwrite", "4k", false, false},
}

func dataRows() []row {
	var rows []row
	for _, c := range dataCases {
		rows = append(rows, row{name: c.name, clients: 1, data: true, run: c.run})
	}
	return rows
}

// run mounts and does the job several times. What is cached is brought into the
// cache through the mount.
func (c *dataCase) run(l *lab, m *mounted) ([]float64, error) {
	if err := l.settleDisks(); err != nil {
		return nil, err
	}
	if err := m.start(); err != nil {
		return nil, err
	}
	before, err := m.ops(l.ctx)
	if err != nil {
		return nil, err
	}
	file := m.root(0) + "/" + dataFile
	if c.fresh {
		file = m.root(0) + "/new"
		defer os.Remove(m.tiers[0] + "/new")
	} else if err := readThrough(file); err != nil {
		return nil, err
	}
	var figures []float64
	for range l.scale.dataPasses {
		if c.fresh {
			_ = os.Remove(file)
		}
		took, err := l.fio(c, file)
		if err != nil {
			return nil, err
		}
		figures = append(figures, took)
	}
	after, err := m.ops(l.ctx)
	if err != nil {
		return nil, err
	}
	l.counted.add(before, after)
	return figures, m.stop()
}

// fioReport is what is read of fio's JSON.
type fioReport struct {
	Jobs []struct {
		Error       int
		Read, Write struct {
			IOPS float64
		}
	}
}

// fio does one job and returns µs an op. EINVAL is the answer of a filesystem
// that has no O_DIRECT (open(2)), or whose buffers are not aligned for it.
func (l *lab) fio(c *dataCase, file string) (float64, error) {
	args := []string{"--name=bench", "--filename=" + file, "--rw=" + c.rw, "--bs=" + c.block, fmt.Sprintf("--size=%d", l.scale.data),
		"--ioengine=psync", "--thread", "--invalidate=0", "--fallocate=none", "--norandommap", "--output-format=json"}
	if c.direct {
		args = append(args, "--direct=1")
	}
	if !c.fresh {
		args = append(args, "--time_based", fmt.Sprintf("--runtime=%dms", l.scale.dataTime/time.Millisecond))
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(l.ctx, "fio", args...)
	cmd.Dir = base // it leaves files in its working directory
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil && c.direct && strings.Contains(said.String(), "Invalid argument") {
		return 0, errRefused
	}
	if err != nil {
		return 0, fmt.Errorf("fio: %w: %s", err, said.String())
	}
	return opTime(out)
}

func opTime(report []byte) (float64, error) {
	var r fioReport
	if at := bytes.IndexByte(report, '{'); at >= 0 { // notes may come first
		report = report[at:]
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return 0, fmt.Errorf("fio's report: %w", err)
	}
	if len(r.Jobs) != 1 || r.Jobs[0].Error != 0 {
		return 0, errors.New("fio's report: the job failed")
	}
	iops := r.Jobs[0].Read.IOPS + r.Jobs[0].Write.IOPS
	if iops <= 0 {
		return 0, errors.New("fio's report: the job did nothing")
	}
	return 1e6 / iops, nil
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
