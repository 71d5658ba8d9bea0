// Command bench measures a tierfs mount beside a plain directory and beside
// mergerfs, in one run.
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
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

// flags is the command line.
type flags struct {
	quick  bool
	json   string
	dir    string
	rounds int
	only   string
	bin    string
}

func parseFlags() (flags, error) {
	var f flags
	flag.BoolVar(&f.quick, "quick", false, "fewer and shorter rounds: under two minutes")
	flag.StringVar(&f.json, "json", "", "also write every round to this `file`")
	flag.StringVar(&f.dir, "dir", "", "keep the images in this `directory` (default: in memory)")
	flag.IntVar(&f.rounds, "rounds", 0, "so many `rounds` instead of the usual")
	flag.StringVar(&f.only, "only", "", "only rows whose name matches this `regexp`")
	flag.StringVar(&f.bin, "bin", "bin/mount.tierfs", "the `binary` to measure")
	flag.Parse()
	if flag.NArg() > 0 {
		return f, fmt.Errorf("%q: unknown argument; see -help", flag.Arg(0))
	}
	// The namespace's own /run hides the caller's.
	for _, path := range []*string{&f.bin, &f.json, &f.dir} {
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
	f, err := parseFlags()
	code := 0
	switch {
	case err != nil:
	case os.Getpid() != 1:
		code, err = inNamespace()
	default:
		ctx, stop := signal.NotifyContext(context.Background(), ending...)
		defer stop()
		if err = run(ctx, f); ctx.Err() != nil {
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
	rows, err := pick(f)
	if err != nil {
		return err
	}
	if err := enterNamespace(); err != nil {
		return err
	}
	l, err := newLab(ctx, f)
	if err != nil {
		return err
	}
	defer l.close()
	m := describe(f)
	printMachine(os.Stdout, m, l)
	res, err := l.measure(ctx, rows)
	if err != nil {
		return err
	}
	printResults(os.Stdout, res, l.subjects)
	if f.json != "" {
		return writeJSON(f.json, m, l, res)
	}
	return nil
}
