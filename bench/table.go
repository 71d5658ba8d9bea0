package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"
)

// ratio is a column that compares a tierfs subject with another.
type ratio struct {
	head     string
	of, with int
	inverse  bool // the share of the other's speed, rather than of its time
}

var (
	timeRatios = []ratio{
		{"time of native", atTierfs, atNative, false},
		{"of mergerfs", atTierfs, atMergerfs, false},
		{"of mergerfs-f", atTierfs, atMergerfsFast, false},
		{"+2 of mergerfs", atTierfs2, atMergerfs, false},
	}
	speedRatios = []ratio{
		{"speed of native", atTierfs, atNative, true},
		{"of mergerfs", atTierfs, atMergerfs, true},
		{"of mergerfs-f", atTierfs, atMergerfsFast, true},
		{"+2 of native", atTierfs2, atNative, true},
	}
)

func (r ratio) value(res *results, row int) float64 {
	v := res.best(row, r.of) / res.best(row, r.with)
	if r.inverse {
		return 1 / v
	}
	return v
}

func printResults(w io.Writer, res *results, subjects []*subject) {
	printTable(w, "Data: µs an op; ratios are tierfs' speed as a share of the other's, higher is better.", res, subjects, true)
	res.counted.print(w)
	printTable(w, "Metadata, names the mount has not seen: µs an op, all clients together; ratios are\ntierfs' time as a share of the other's, lower is better.", res, subjects, false)
	fmt.Fprintf(w, "Each figure is the lowest of its measurements in %d interleaved rounds; all took %s.\n", res.count, res.took.Round(time.Second))
}

func printTable(w io.Writer, title string, res *results, subjects []*subject, data bool) {
	ratios := timeRatios
	if data {
		ratios = speedRatios
	}
	any := false
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, row := range res.rows {
		if row.data != data {
			continue
		}
		if !any {
			any = true
			fmt.Fprintln(w, title)
			printHead(t, subjects, ratios)
		}
		fmt.Fprintf(t, "%s\t%d\t", row.name, row.clients)
		for k := range subjects {
			fmt.Fprintf(t, "%s\t", figure(res.best(i, k)))
		}
		for _, r := range ratios {
			fmt.Fprintf(t, "%s\t", share(r.value(res, i)))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	if any {
		fmt.Fprintln(w)
	}
}

func printHead(w io.Writer, subjects []*subject, ratios []ratio) {
	fmt.Fprint(w, "\tclients\t")
	for _, s := range subjects {
		fmt.Fprintf(w, "%s\t", s.name)
	}
	for _, r := range ratios {
		fmt.Fprintf(w, "%s\t", r.head)
	}
	fmt.Fprintln(w)
}

// share writes a ratio; there is none with a subject that cannot do the row.
func share(v float64) string {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

// figure writes µs with three digits that mean something.
func figure(us float64) string {
	switch {
	case math.IsInf(us, 1):
		return "refused"
	case us < 10:
		return fmt.Sprintf("%.2f", us)
	case us < 100:
		return fmt.Sprintf("%.1f", us)
	}
	return fmt.Sprintf("%.0f", us)
}

func (c counted) print(w io.Writer) {
	if c.Known {
		fmt.Fprintf(w, "Requests for data that reached the tierfs daemons in all of these runs: READ=%d WRITE=%d\n\n", c.Read, c.Write)
	}
}
