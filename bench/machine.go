package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
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
	Command  []string `json:"command"`
}

func describe(f flags) machine {
	m := machine{
		Date: time.Now().UTC().Format(time.RFC3339), CPU: cpuModel(), CPUs: runtime.NumCPU(),
		Images: "in memory", Command: os.Args,
	}
	if f.dir != "" {
		m.Images = "in " + f.dir
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
	m.Versions = []string{
		version("tierfs", f.bin, "tierfs", "--version"),
		version("mergerfs", "mergerfs", "mergerfs", "--version"),
		version("fio", "fio", "fio", "--version"),
		version("mke2fs", "mkfs.ext4", "mkfs.ext4", "-V"),
	}
	return m
}

// version is the first line that a program says of itself.
func version(name, path string, argv ...string) string {
	cmd := exec.Command(path)
	cmd.Args = argv
	out, _ := cmd.CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if !strings.HasPrefix(line, name) {
		line = name + " " + line
	}
	return line
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

func printMachine(w io.Writer, m machine, l *lab) {
	fmt.Fprintf(w, "date       %s\nmachine    Linux %s, %d x %s, %d MiB, load %s\n", m.Date, m.Kernel, m.CPUs, m.CPU, m.MemMiB, m.Load)
	fmt.Fprintf(w, "versions   %s\n", strings.Join(m.Versions, "; "))
	fmt.Fprintf(w, "disks      %d loop-mounted ext4 images %s, mkfs.ext4 %s\n", len(l.disks), m.Images, strings.Join(mkfsOptions, " "))
	fmt.Fprintf(w, "command    %s\n", strings.Join(m.Command, " "))
	for _, s := range l.subjects {
		fmt.Fprintf(w, "%-11s%s\n", s.name, s.what)
	}
	s := l.scale
	fmt.Fprintf(w, "scale      %d rounds; metadata %d measurements of %d names in each; data %d of %s, file of %d MiB\n\n", s.rounds, s.passes, s.files, s.dataPasses, s.dataTime, s.data>>20)
}
