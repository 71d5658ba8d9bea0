package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// markdown writes all that came of a run. It is padded, to be read as it is.
func markdown(w io.Writer, m machine, l *lab, r *results) {
	fmt.Fprintf(w, "# Figures of one run\n\nMade by `%s`, whole in %s. They are good for this machine; compare the ratios.\n\n![ratios](results.svg)\n\n", m.Command, r.took.Round(time.Second))
	m.markdown(w, l)
	fmt.Fprintf(w, "## Data\n\nµs an op, all jobs together. Ratios are tierfs' speed as a share of the other's: higher is better.\n\n")
	r.table(w, data)
	if r.counted.Known {
		fmt.Fprintf(w, "Requests for data that reached the tierfs daemons in all of these runs: READ=%d WRITE=%d.\n\n", r.counted.Read, r.counted.Write)
	}
	fmt.Fprintf(w, "## Metadata\n\nµs an op, all clients together. Ratios are tierfs' time as a share of the other's: lower is better.\n"+
		"Cold: the mount has not seen the names, the disk has. Warm: right after.\n\n")
	r.table(w, meta)
	fmt.Fprintf(w, "## Whole jobs\n\nms for the whole job, in a fresh mount and then again, on Go's source: %d entries in %d directories.\n\n", l.source.entries, len(l.source.dirs))
	r.table(w, job)
	r.memory(w)
	r.slow(w)
	r.targets(w)
	for i, n := range r.notes {
		if i == 0 {
			fmt.Fprintf(w, "## Notes\n\n")
		}
		fmt.Fprintf(w, "- %s\n", n)
	}
}

// columns are the ratios in each line.
var columns = []struct{ head, of, with string }{
	{"of native", tierfs, native}, {"of mergerfs", tierfs, mergerfs}, {"of mergerfs-f", tierfs, mergerfsF},
	{"+2: native", tierfs2, native}, {"+2: mergerfs", tierfs2, mergerfs},
}

func (r *results) table(w io.Writer, k kind) {
	head := []string{"", "clients"}
	for _, s := range r.subjects {
		head = append(head, s.name)
	}
	for _, c := range columns {
		head = append(head, c.head)
	}
	g := grid{head}
	for i, row := range r.rows {
		if row.kind != k {
			continue
		}
		line := []string{row.name, fmt.Sprint(row.clients)}
		for _, s := range r.subjects {
			v := r.best(i, s.name)
			if k == job {
				v /= 1000
			}
			line = append(line, figure(v))
		}
		for _, c := range columns {
			line = append(line, share(r.ratio(i, c.of, c.with)))
		}
		g = append(g, line)
	}
	g.write(w)
}

func (r *results) memory(w io.Writer) {
	if len(r.weights) == 0 {
		return
	}
	fmt.Fprintf(w, "## Memory\n\nResident MiB of the daemon: mounted, with so many inodes in the kernel's cache, and when the kernel was told to forget them.\n\n")
	g := grid{{"", "inodes", "mounted", "cached", "bytes an inode", "dropped"}}
	for _, v := range r.weights {
		g = append(g, []string{v.Subject, fmt.Sprint(v.Inodes), mib(v.Rest), mib(v.Full), fmt.Sprint((v.Full - v.Rest) / v.Inodes), mib(v.Dropped)})
	}
	g.write(w)
}

// slow tells what several clients gain on a tier where each call waits.
func (r *results) slow(w io.Writer) {
	if len(r.paces) == 0 {
		return
	}
	fmt.Fprintf(w, "## A slow tier\n\nOps in a second where each call for names or attributes takes the primary %s, as on a disk that seeks.\n\n", latency)
	g := grid{{"", "", "1 client", fmt.Sprintf("%d clients", slowCrowd), "times"}}
	for _, p := range r.paces {
		g = append(g, []string{p.Op, p.Subject, figure(p.One), figure(p.Crowd), fmt.Sprintf("%.1f", p.Crowd/p.One)})
	}
	g.write(w)
}

func mib(n int) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }

// grid is a table, its first line the head. All but the first column are
// aligned to the right.
type grid [][]string

func (g grid) write(w io.Writer) {
	widths := make([]int, len(g[0]))
	for _, line := range g {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	for n, line := range g {
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(w, "| %s%s |", cell, pad)
			} else {
				fmt.Fprintf(w, " %s%s |", pad, cell)
			}
		}
		fmt.Fprintln(w)
		if n == 0 {
			for i, width := range widths {
				if i == 0 {
					fmt.Fprintf(w, "|%s|", strings.Repeat("-", width+2))
				} else {
					fmt.Fprintf(w, "%s:|", strings.Repeat("-", width+1))
				}
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
}

// share writes a ratio; there is none with a subject that cannot do the row.
func share(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

// figure writes three digits that mean something.
func figure(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "-"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
