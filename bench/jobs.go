package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// program is a whole job that people give a filesystem.
type program struct {
	name string
	argv func(root string) []string
	aim  aim
	ok   int // the exit status that means it is done
}

func onSource(argv ...string) func(string) []string {
	return func(root string) []string { return append(argv, filepath.Join(root, sourceNames[0])) }
}

var programs = []program{
	{"git status", func(root string) []string { return git(root, "status", "--porcelain") }, aimJob, 0},
	{"find", onSource("find"), aimJob, 0},
	// grep ends with 1 when there is no such word, after reading all.
	{"grep -r", onSource("grep", "-r", "a word that is in no file of Go"), aimJob, 1},
	{"du", onSource("du", "-s"), aimJob, 0},
	{"rsync -n", func(root string) []string {
		return []string{"rsync", "-an", filepath.Join(root, sourceNames[0]) + "/", base + "/empty/"}
	}, noAim, 0},
}

func jobTrials() []trial {
	untar := row{name: "untar", clients: 1, kind: job, aim: aimJob, chart: true}
	trials := []trial{{rows: []row{untar}, writes: true, run: runUntar}}
	for _, p := range programs {
		rows := []row{
			{name: p.name, clients: 1, kind: job, aim: p.aim, chart: true},
			{name: p.name + ", again", clients: 1, kind: job},
		}
		trials = append(trials, trial{rows: rows, run: p.run})
	}
	return trials
}

// run mounts and does the job twice: in the first the mount sees the files for
// the first time.
func (p program) run(l *lab, m *mounted, put put) error {
	if err := l.settleDisks(); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	for i := range 2 {
		us, err := l.timeProgram(p.argv(m.root(0)), p.ok)
		if err != nil {
			return err
		}
		put(i, us)
	}
	return m.stop()
}

// runUntar unpacks the source into a directory of the primary.
func runUntar(l *lab, m *mounted, put put) error {
	defer m.clear()
	if err := os.Mkdir(filepath.Join(m.tiers[0], treeName), 0o755); err != nil {
		return err
	}
	if err := l.settleDisks(); err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	us, err := l.timeProgram([]string{"tar", "-xf", l.source.tar, "-C", filepath.Join(m.root(0), treeName)}, 0)
	if err != nil {
		return err
	}
	put(0, us)
	return m.stop()
}

func (l *lab) timeProgram(argv []string, ok int) (us float64, err error) {
	cmd := exec.CommandContext(l.ctx, argv[0], argv[1:]...)
	cmd.Dir = base
	begun := time.Now()
	err = cmd.Run()
	took := time.Since(begun)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == ok {
		err = nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", argv[0], err)
	}
	return took.Seconds() * 1e6, nil
}
