package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fioJob is one job of fio(1), done by each of several threads in a file of
// its own.
type fioJob struct {
	name   string
	rw     string
	block  string
	direct bool
	mapped bool
	fresh  bool // writes new files once, rather than in the data files for a time
	sync   bool // and ends with fsync(2), which counts
}

// args are what fio is told. Jobs wait for one another (stonewall). New files are so
// large that it takes some time to write them, also one.
func (j fioJob) args(threads int, s scale) []string {
	size := s.fileSize
	if j.fresh {
		size = dataFiles * s.fileSize / int64(threads)
	}
	args := []string{"--name=" + j.name, "--stonewall", "--new_group", "--rw=" + j.rw, "--bs=" + j.block, "--numjobs=" + strconv.Itoa(threads), fmt.Sprintf("--size=%d", size)}
	add := func(when bool, more ...string) {
		if when {
			args = append(args, more...)
		}
	}
	add(j.direct, "--direct=1")
	add(j.mapped, "--ioengine=mmap")
	add(j.sync, "--end_fsync=1")
	add(j.fresh, "--filename_format="+newFile+".$jobnum", "--create_on_open=1", "--unlink=1")
	add(!j.fresh, "--filename_format="+dataFile+".$jobnum", "--time_based", fmt.Sprintf("--runtime=%dms", s.dataTime/time.Millisecond))
	return args
}

// fio does the jobs, one after the other, in the files of dir.
func (l *lab) fio(dir string, jobs []fioJob, threads int, each func(i int, us float64)) error {
	args := []string{"--directory=" + dir, "--ioengine=psync", "--thread", "--group_reporting",
		"--invalidate=0", "--fallocate=none", "--norandommap", "--output-format=json"}
	for _, j := range jobs {
		args = append(args, j.args(threads, l.scale)...)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(l.ctx, "fio", args...)
	cmd.Dir = base // it leaves files in its working directory
	cmd.Stderr = &said
	out, err := cmd.Output()
	r, readErr := parseFio(out)
	if readErr != nil || len(r.Jobs) != len(jobs) {
		return fmt.Errorf("fio: %w: %d of %d jobs are reported: %s", errors.Join(err, readErr), len(r.Jobs), len(jobs), said.String())
	}
	for i, done := range r.Jobs {
		us, err := done.opTime()
		if refused(jobs[i], err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("fio: %s: %w: %s", jobs[i].name, err, strings.TrimSpace(said.String()))
		}
		each(i, us)
	}
	return nil
}

// refused reports whether a filesystem has not what the job asks for. EINVAL is
// the answer of one that has no O_DIRECT (open(2)), or whose buffers are not
// aligned for it, and ENODEV of one that has no mmap(2).
func refused(j fioJob, err error) bool {
	return j.direct && errors.Is(err, unix.EINVAL) || j.mapped && errors.Is(err, unix.ENODEV)
}

// fioReport is what is read of fio's JSON, a line for each job.
type fioReport struct {
	Jobs []fioDone
}

type fioDone struct {
	Error       int
	Read, Write struct {
		IOPS float64
	}
}

func parseFio(out []byte) (r fioReport, err error) {
	at := bytes.IndexByte(out, '{') // notes may come first
	if at < 0 {
		return r, errors.New("there is no report")
	}
	err = json.Unmarshal(out[at:], &r)
	return r, err
}

// opTime is µs an op, of all threads together.
func (d fioDone) opTime() (float64, error) {
	if d.Error != 0 {
		return 0, unix.Errno(d.Error)
	}
	iops := d.Read.IOPS + d.Write.IOPS
	if iops <= 0 {
		return 0, errors.New("it did nothing")
	}
	return 1e6 / iops, nil
}
