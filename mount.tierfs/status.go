package main

import (
	"encoding/json"
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
// tier is away, or moving has failed for a day.
func status(f flags, args []string) error {
	mounts, err := statusMounts(args)
	if err != nil {
		return err
	}
	var all []control.Status
	var trouble error
	for i, a := range askAll(mounts) {
		if a.err != nil {
			trouble = failure{code: 1}
			say(cliName, fmt.Sprintf("mount %q: %s", mounts[i].Dir, explainStatus(mounts[i], a.err)))
			if !f.json {
				printSeen(os.Stdout, mounts[i])
			}
			continue
		}
		if moverFails(a.Status) || slices.ContainsFunc(a.Tiers, func(t control.Tier) bool { return t.Away }) {
			trouble = failure{code: 1}
		}
		all = append(all, a.Status)
	}
	if err := printStatuses(os.Stdout, all, f.json); err != nil {
		return err
	}
	return trouble
}

// answer is what came of asking one daemon.
type answer struct {
	control.Status
	err error
}

// askAll asks the daemons of all mounts at once, so that one that is silent
// holds up no other.
func askAll(mounts []daemon.Mount) []answer {
	answers := make([]answer, len(mounts))
	var asked sync.WaitGroup
	for i, m := range mounts {
		asked.Go(func() { answers[i].Status, answers[i].err = clientFor(m).Status() })
	}
	asked.Wait()
	return answers
}

// explainStatus says why there is no status of m, and what to do.
func explainStatus(m daemon.Mount, err error) string {
	own, owner := os.Geteuid(), ownerOf(m)
	dir := control.Dir(owner)
	switch {
	case own != 0 && own != owner && owner == 0:
		return "mounts by root are shown to root only; run sudo tierfs status"
	case own != 0 && own != owner:
		return fmt.Sprintf("mounts by user %d are shown to that user and root only; run sudo tierfs status", owner)
	case !errors.Is(err, control.ErrNoDaemon):
		return err.Error()
	case owner != 0 && !exists(dir):
		return fmt.Sprintf("no status without %s, where the daemon would have its socket; log in, so that the directory above it is there, and mount again", dir)
	}
	return "no daemon answers; if it has died, umount -l it and mount it again"
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// printSeen shows what mountinfo, and so everybody, sees of a mount.
func printSeen(w io.Writer, m daemon.Mount) {
	show := daemon.Printable
	fmt.Fprintf(w, "%s: %s, mounted by user %d\n  options %s\n", show(m.Dir), show(m.Source), ownerOf(m), show(m.Options))
}

// statusMounts are the tierfs mounts at dirs, or all without dirs.
func statusMounts(dirs []string) ([]daemon.Mount, error) {
	var found []daemon.Mount
	for _, dir := range dirs {
		p, err := daemon.FindMountPoint(dir)
		if err != nil {
			return nil, err
		}
		if !p.Taken || p.Top.Type != fstype {
			return nil, usage("mount %q: no tierfs is mounted there; see findmnt -t fuse.tierfs", p.Path)
		}
		found = append(found, p.Top)
	}
	if len(dirs) > 0 {
		return found, nil
	}
	mounts, err := daemon.Mounts()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{} // bind mounts have the same daemon
	for _, m := range mounts {
		if m.Type == fstype && !seen[m.Dev()] {
			seen[m.Dev()] = true
			found = append(found, m)
		}
	}
	return found, nil
}

func printStatuses(w io.Writer, all []control.Status, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if all == nil {
			all = []control.Status{}
		}
		return enc.Encode(all)
	}
	for _, st := range all {
		if err := printStatus(w, st); err != nil {
			return err
		}
	}
	return nil
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

func tierState(t control.Tier) string {
	state := fmt.Sprintf("%s free of %s", human.Bytes(t.Free), human.Bytes(t.Size))
	switch {
	case t.Away:
		state = "away: it does not answer"
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
