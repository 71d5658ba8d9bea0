package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/human"
	"github.com/tierfs/tierfs/internal/tier"
)

// status is tierfs status. Its exit code is 1 if a daemon does not answer, a
// tier is away or fails, or moving has failed for a day, and 2 if there is no such mount;
// the others are shown all the same.
func status(f flags, args []string) error {
	tidy(control.Dir(os.Geteuid()))
	answers, err := askAll(args)
	if err != nil {
		return err
	}
	code := exitOK
	var all []any
	for _, a := range answers {
		code = max(code, a.code())
		if a.err != nil {
			say(cliName, a.err.Error())
			all = append(all, a.unasked())
		} else {
			all = append(all, a.Status)
		}
		if f.json {
			continue
		}
		if err := a.print(os.Stdout); err != nil {
			return err
		}
	}
	if f.json {
		if err := printJSON(all); err != nil {
			return err
		}
	}
	if code != exitOK {
		return failure{code: code}
	}
	return nil
}

// tidy removes from our runtime directory what daemons that were killed have
// left there. What one said of its death stays for the log of the next.
func tidy(dir string) {
	control.Sweep(dir)
	daemon.SweepCrashFiles(dir)
}

// answer is what came of asking one daemon.
type answer struct {
	mount daemon.Mount // the directory alone if none is there
	control.Status
	err error
}

// askAll asks the daemons of the mounts at dirs, or of all mounts, at once, so
// that one that is silent holds up no other.
func askAll(dirs []string) ([]answer, error) {
	var answers []answer
	for _, dir := range dirs {
		m, err := mountAt(dir)
		if err != nil {
			m.Dir = dir
		}
		answers = append(answers, answer{mount: m, err: err})
	}
	if len(dirs) == 0 {
		mounts, err := allMounts()
		if err != nil {
			return nil, err
		}
		for _, m := range mounts {
			answers = append(answers, answer{mount: m})
		}
	}
	var asked sync.WaitGroup
	for i := range answers {
		a := &answers[i]
		if a.err != nil {
			continue
		}
		asked.Go(func() {
			var err error
			if a.Status, err = clientFor(a.mount).Status(); err != nil {
				a.err = cannotAsk("status", a.mount, err)
			}
		})
	}
	asked.Wait()
	return answers, nil
}

// code is the exit code that the answer alone calls for.
func (a *answer) code() int {
	switch {
	case a.err != nil && a.mount.Type == "":
		return exitCannot
	case a.err != nil, moverFails(a.Status), slices.ContainsFunc(a.Tiers, func(t control.Tier) bool { return t.Away || t.Failing }):
		return exitTrouble
	}
	return exitOK
}

// unasked is for --json what mountinfo, and so everybody, sees of a mount whose
// daemon cannot be asked.
type unasked struct {
	MountPoint string `json:"mount_point"`
	Source     string `json:"source,omitempty"`
	Options    string `json:"options,omitempty"`
	User       *int   `json:"user,omitempty"` // who has mounted it
	Error      string `json:"error"`
}

func (a *answer) unasked() unasked {
	u := unasked{MountPoint: a.mount.Dir, Source: a.mount.Source, Options: a.mount.Options, Error: a.err.Error()}
	if a.mount.Type != "" {
		user := ownerOf(a.mount)
		u.User = &user
	}
	return u
}

// print shows it to people.
func (a *answer) print(w io.Writer) error {
	switch {
	case a.err == nil:
		return printStatus(w, a.Status)
	case a.mount.Type != "":
		printSeen(w, a.mount)
	}
	return nil
}

// explain says why the daemon of m has not answered a command, and what to do.
func explain(command string, m daemon.Mount, err error) string {
	owner := ownerOf(m)
	dir := control.Dir(owner)
	switch {
	case control.Silent(err):
		return err.Error()
	case !mayAsk(m) && owner == 0:
		return fmt.Sprintf("mounts by root answer root only; run sudo tierfs %s", command)
	case !mayAsk(m):
		return fmt.Sprintf("mounts by user %d answer that user and root only; run sudo tierfs %s", owner, command)
	case !errors.Is(err, control.ErrNoDaemon):
		return err.Error()
	case owner != 0 && !exists(dir):
		return fmt.Sprintf("no answer without %s, where the daemon would have its socket; log in, so that the directory above it is there, and mount again", dir)
	}
	return "no daemon answers; if it has died, umount -l it and mount it again"
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// printSeen shows what mountinfo has of a mount.
func printSeen(w io.Writer, m daemon.Mount) {
	show := daemon.Printable
	fmt.Fprintf(w, "%s: %s, mounted by user %d\n  options %s\n", show(m.Dir), show(m.Source), ownerOf(m), show(m.Options))
}

// mountAt is the tierfs mount at dir.
func mountAt(dir string) (daemon.Mount, error) {
	p, err := patiently(dir, func() (daemon.MountPoint, error) { return daemon.FindMountPoint(dir) })
	switch {
	case errors.Is(err, daemon.ErrNoDirectory):
		return daemon.Mount{}, usage("mount %q: no such directory; see findmnt -t fuse.tierfs", dir)
	case err != nil:
		return daemon.Mount{}, err
	}
	if !p.Taken || p.Top.Type != fstype {
		return daemon.Mount{}, usage("mount %q: no tierfs is mounted there; see findmnt -t fuse.tierfs", p.Path)
	}
	return p.Top, nil
}

// allMounts are the tierfs mounts, each daemon's once: bind mounts have the same.
func allMounts() (found []daemon.Mount, err error) {
	mounts, err := daemon.Mounts()
	seen := map[string]bool{}
	for _, m := range mounts {
		if m.Type == fstype && !seen[m.Dev()] {
			seen[m.Dev()] = true
			found = append(found, m)
		}
	}
	return found, err
}

func printStatus(w io.Writer, st control.Status) error {
	var b strings.Builder
	up := human.About(time.Since(st.Since))
	show := daemon.Printable // a user's daemon says what that user wants
	fmt.Fprintf(&b, "%s: %s, daemon %d of release %s, up %s\n", show(st.MountPoint), show(st.Source), st.PID, show(st.Version), up)
	for _, t := range st.Tiers {
		fmt.Fprintf(&b, "  tier %d  %s  %s\n", t.Rank, show(t.Path), tierState(t))
	}
	fmt.Fprintf(&b, "  given   %s\n", settingsFrom(st, control.Given))
	fmt.Fprintf(&b, "  default %s\n", settingsFrom(st, control.Default))
	fmt.Fprintf(&b, "  cache   %s\n", cacheState(st.Cache))
	b.WriteString(moverLines(st.Mover))
	var ops []string
	for _, kind := range slices.Sorted(maps.Keys(st.Ops)) {
		ops = append(ops, fmt.Sprintf("%s %d", show(kind), st.Ops[kind]))
	}
	fmt.Fprintf(&b, "  served  %s\n", strings.Join(ops, ", "))
	_, err := io.WriteString(w, b.String())
	return err
}

// settingsFrom lists the settings that come from there. A default that is off
// goes without saying.
func settingsFrom(st control.Status, from string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(st.Settings)) {
		s := st.Settings[name]
		if s.From == from && !(from == control.Default && s.Value == "off") {
			words = append(words, daemon.Printable(name+"="+s.Value))
		}
	}
	return strings.Join(words, ", ")
}

func cacheState(c control.Cache) string {
	if !c.Coherent {
		return "by timeouts: " + daemon.Printable(c.Why)
	}
	return fmt.Sprintf("coherent: %d changes seen in the tiers' filesystems, %d of them our own, %d told to the kernel, %d sweeps",
		c.Events, c.Own, c.Told, c.Sweeps)
}

func tierState(t control.Tier) string {
	state := fmt.Sprintf("%s free of %s", human.Bytes(t.Free), human.Bytes(t.Size))
	switch {
	case t.Away:
		state = "away: it does not answer; check its disk or server"
	case t.Failing:
		state += fmt.Sprintf(", fails: %d errors of its disk; check that, and see the log", t.Errors)
	case t.Stalled:
		state += ", does not answer at the moment"
	case t.MountAnew:
		state += ", read-only until the next mount: its disk has become writable, so unmount and mount anew"
	case t.ReadOnly:
		state += ", read-only"
	}
	switch tier.PathState(t.PathState) {
	case tier.PathUnmounted:
		state += "; unmount pending: its disk is in use until this mount is unmounted as well"
	case tier.PathElsewhere:
		state += "; path leads elsewhere: what was there is served, mount anew to serve what is there now"
	case tier.PathUnreachable:
		state += "; path cannot be reached: what was there is served"
	}
	return state
}
