package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what figures are only good for.
type machine struct {
	Date     string   `json:"date"`
	Kernel   string   `json:"kernel"`
	CPU      string   `json:"cpu"`
	CPUs     int      `json:"cpus"`
	MemMiB   uint64   `json:"mem_mib"`
	Load     string   `json:"load"` // at the start
	Images   string   `json:"images"`
	Versions []string `json:"versions"`
	Command  string   `json:"command"`
}

func describe(f flags) machine {
	m := machine{
		Date: time.Now().UTC().Format(time.RFC3339), CPU: cpuModel(), CPUs: runtime.NumCPU(),
		Images: "in memory", Command: f.command(),
	}
	if f.dir != "" {
		m.Images = "in files on a disk"
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemMiB = info.Totalram * uint64(info.Unit) >> 20
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	m.Versions = []string{runtime.Version(), version(tierfs, f.bin)}
	for _, program := range []string{"mergerfs", "unionfs", "bindfs", "fio", "git", "tar", "rsync"} {
		if path, err := exec.LookPath(program); err == nil {
			m.Versions = append(m.Versions, version(program, path))
		}
	}
	return m
}

// command is what to type for such a run. Directories are the caller's own.
func (f flags) command() string {
	c := "make bench"
	switch {
	case f.scaled:
		c = "make bench-scale"
	case f.quick:
		c = "make bench-quick"
	}
	var args []string
	if f.rounds > 0 {
		args = append(args, fmt.Sprintf("-rounds %d", f.rounds))
	}
	if f.only != "" {
		args = append(args, fmt.Sprintf("-only %q", f.only))
	}
	if len(args) > 0 {
		c += " ARGS='" + strings.Join(args, " ") + "'"
	}
	return c
}

// version is a program's name and the version that follows it in what the
// program says of itself. It is called by the name, by which tierfs knows what
// it is to be.
func version(name, path string) string {
	cmd := exec.Command(path)
	cmd.Args = []string{name, "--version"}
	out, _ := cmd.CombinedOutput()
	said := regexp.MustCompile(name + `[^0-9\n]*([0-9]+\.[-+.a-z0-9]*)`).FindSubmatch(out)
	if said == nil {
		return name
	}
	return name + " " + string(said[1])
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func (m machine) markdown(w io.Writer, l *lab) {
	s := l.scale
	fmt.Fprintf(w, "- date: %s\n- machine: Linux %s, %d x %s, %d MiB, load %s at the start\n", m.Date, m.Kernel, m.CPUs, m.CPU, m.MemMiB, m.Load)
	fmt.Fprintf(w, "- versions: %s\n", strings.Join(m.Versions, ", "))
	fmt.Fprintf(w, "- disks: %d loop-mounted ext4 images %s, mkfs.ext4 %s\n", len(l.disks), m.Images, strings.Join(mkfsOptions, " "))
	fmt.Fprintf(w, "- scale: the lowest of %d interleaved rounds; in each, %d measurements of %d names, fio jobs of %s in files of %d MiB\n", s.rounds, s.passes, s.files, s.dataTime, s.fileSize>>20)
	for _, sub := range l.subjects {
		fmt.Fprintf(w, "- %s: %s\n", sub.name, sub.what)
	}
	fmt.Fprintln(w)
}
