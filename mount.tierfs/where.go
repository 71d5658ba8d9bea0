package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"golang.org/x/sys/unix"
)

// place is where a file is.
type place struct {
	File control.Name `json:"file"`
	Tier control.Name `json:"tier"` // its root
	Path control.Name `json:"path"` // of the backing file
}

// where is tierfs where.
func where(f flags, args []string) error {
	return ofFiles("where", f, args, placeOf, func(p place) string {
		show := daemon.PrintableName
		return fmt.Sprintf("%s: on %s, as %s", show(string(p.File)), show(string(p.Tier)), show(string(p.Path)))
	})
}

// ofFiles prints what is to be said of each file, a line or all as JSON. What
// cannot be said of one does not keep it from the others.
func ofFiles[T any](name string, f flags, files []string, of func(file string) (T, error), line func(T) string) error {
	if len(files) == 0 {
		return usage("%[1]s: want FILE...; see tierfs %[1]s --help", name)
	}
	var all []T
	var failed error
	for _, file := range files {
		v, err := of(file)
		if err != nil {
			failed = failure{code: exitCannot}
			say(cliName, err.Error())
			continue
		}
		all = append(all, v)
		if !f.json {
			fmt.Println(line(v))
		}
	}
	if f.json {
		if err := printJSON(all); err != nil {
			return err
		}
	}
	return failed
}

func placeOf(file string) (place, error) {
	l, err := locate(file)
	if err != nil {
		return place{}, err
	}
	tier, err := xattr(file, "user.tierfs.tier")
	if err == nil {
		path, err := xattr(file, "user.tierfs.path")
		return place{control.Name(file), control.Name(tier), control.Name(path)}, err
	}
	var errno unix.Errno
	switch {
	case err == unix.ENODATA:
		return placeWithout(file, l)
	case errors.As(err, &errno):
		err = fmt.Errorf("%q: %w", file, err)
	}
	return place{}, err
}

// placeWithout is the place of a file that cannot have attributes of users, as
// links and devices.
func placeWithout(file string, l located) (place, error) {
	st, err := clientFor(l.mount).Status()
	if err != nil {
		return place{}, cannotAsk("where", l.mount, err)
	}
	rank := 0
	if len(st.Tiers) > 1 {
		v, err := askWhy("where", file, l)
		if err != nil {
			return place{}, err
		}
		rank = v.Tier
	}
	if rank >= len(st.Tiers) {
		return place{}, fmt.Errorf("%q: the daemon names tier %d, and has %d; ask again, and report it if that stays so", file, rank, len(st.Tiers))
	}
	root := st.Tiers[rank].Path
	return place{control.Name(file), control.Name(root), control.Name(filepath.Join(root, l.rel))}, nil
}

// xattr is a short extended attribute of the file itself.
func xattr(file, name string) (string, error) {
	return patiently(file, func() (string, error) {
		b := make([]byte, 2*unix.PathMax)
		n, err := unix.Lgetxattr(file, name, b)
		return string(b[:max(n, 0)]), err
	})
}
