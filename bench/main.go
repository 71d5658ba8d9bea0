// Command bench measures a tierfs mount beside a plain directory and beside other
// filesystems that do the like, in one run.
//
// Every subject works in directories of its own on the same disks, ext4 images
// on loop devices. Rounds are interleaved, subject after subject and each round
// in another order, and the lowest figure of all rounds is kept: what else the
// machine does only ever adds time. Nothing is asserted about time.
//
// It needs root. It works in mount and PID namespaces of its own, see
// inNamespace, so that nothing it mounts, attaches or starts outlives it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
)

// flags is the command line.
type flags struct {
	quick  bool
	scaled bool
	json   string
	out    string
	dir    string
	rounds int
	only   string
	bin    string
}

func parseFlags() (flags, error) {
	var f flags
	flag.BoolVar(&f.quick, "quick", false, "fewer and shorter rounds: under two minutes")
	flag.BoolVar(&f.scaled, "scale", false, "measure a million files instead, into scale.md")
	flag.StringVar(&f.json, "json", "", "also write every round to this `file`")
	flag.StringVar(&f.out, "out", "", "also write results.md and results.svg into this `directory`")
	flag.StringVar(&f.dir, "dir", "", "keep the images in this `directory` (default: in memory)")
	flag.IntVar(&f.rounds, "rounds", 0, "so many `rounds` instead of the usual")
	flag.StringVar(&f.only, "only", "", "only rows whose name matches this `regexp`")
	flag.StringVar(&f.bin, "bin", "bin/mount.tierfs", "the `binary` to measure")
	flag.Parse()
	if flag.NArg() > 0 {
		return f, fmt.Errorf("%q: unknown argument; see -help", flag.Arg(0))
	}
	// The namespace's own /run hides the caller's.
	for _, path := range []*string{&f.bin, &f.json, &f.out, &f.dir} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return f, err
		}
		*path = abs
	}
	if _, err := os.Stat(f.bin); err != nil {
		return f, fmt.Errorf("%w; run make first", err)
	}
	return f, nil
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == slowArg {
		if err := serveSlow(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	f, err := parseFlags()
	code := 0
	switch {
	case err != nil:
	case os.Getpid() != 1:
		code, err = inNamespace()
	default:
		ctx, stop := signal.NotifyContext(context.Background(), ending...)
		defer stop()
		work := run
		if f.scaled {
			work = scaleRun
		}
		if err = work(ctx, f); ctx.Err() != nil {
			code, err = 130, errors.New("interrupted")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(ctx context.Context, f flags) error {
	scale := f.scale()
	trials, err := pick(f, scale)
	if err != nil {
		return err
	}
	if err := enterNamespace(); err != nil {
		return err
	}
	m := describe(f)
	l, err := newLab(ctx, f, scale)
	if err != nil {
		return err
	}
	defer l.close()
	res, err := l.measure(trials)
	if err != nil {
		return err
	}
	if only, err := regexp.MatchString(f.only, memoryRow); err == nil && only {
		if res.weights, err = l.weigh(); err != nil {
			return err
		}
	}
	if only, err := regexp.MatchString(f.only, slowRow); err == nil && only {
		if res.paces, err = l.crawl(); err != nil {
			return err
		}
	}
	return tell(f, m, l, res)
}

// tell prints the results, and writes the files that are asked for.
func tell(f flags, m machine, l *lab, res *results) error {
	var text, drawing bytes.Buffer
	markdown(&text, m, l, res)
	newChart(&drawing, res).draw(m)
	if _, err := os.Stdout.Write(text.Bytes()); err != nil {
		return err
	}
	if f.out != "" {
		if err := os.WriteFile(filepath.Join(f.out, "results.md"), text.Bytes(), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(f.out, "results.svg"), drawing.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if f.json != "" {
		return writeJSON(f.json, m, res)
	}
	return nil
}
