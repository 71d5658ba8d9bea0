package tierfs

import (
	"slices"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// renameUnder renames where a higher tier has the new name.
func (fs *FS) renameUnder(x *renaming, sd, dd *tier.Dir, higher, same, lower []copyAt) error {
	if len(same) > 0 { // hidden by the higher one
		if err := fs.removeCopies(x.r, x.to, x.newName, same, 0); err != nil {
			return err
		}
	}
	err := fs.onNetwork(sd.Tier, x.r, func() error { return sd.Link(x.name, dd, x.newName) })
	switch err {
	case nil:
	case unix.EPERM, unix.EOPNOTSUPP, unix.EMLINK, unix.ENOSYS:
		return fs.renameByIntent(x, sd, dd, higher, lower)
	default:
		return err
	}
	shown, err := fs.showLink(x, sd, dd, higher, lower)
	if err != nil && !shown {
		if e := dd.Unlink(x.newName); e != nil {
			fs.unlinkLater(x, dd, e)
		}
	}
	return err
}

// unlinkLater leaves a record by which the next mount removes the link that a
// rename has made and could not take back.
func (fs *FS) unlinkLater(x *renaming, dd *tier.Dir, why error) {
	defer fs.moves.pin(x.from, x.to)()
	from, ok1 := fs.pathOf(x.from, x.name)
	to, ok2 := fs.pathOf(x.to, x.newName)
	if ok1 && ok2 {
		in := intent{Kind: intentUnlink, From: from, To: to, Moves: []move{fs.moveOf(&x.src[0])}}
		if record, err := fs.journal.write(dd.Tier, &in); err == nil {
			record.leave(nextMount)
		}
	}
	fs.log.Warn("a second name of a file stays hidden after a rename that failed; the next mount removes it, else tierfs check names it", "name", x.newName, "tier", dd.Tier.Root, "err", why)
}

// showLink brings the link under the new name to light, and then removes the
// old name. What hides it is only set aside before that, because the old name
// may be on a disk that fails. shown reports that the link is what the new name
// shows, after an error too.
func (fs *FS) showLink(x *renaming, sd, dd *tier.Dir, higher, lower []copyAt) (shown bool, err error) {
	others := slices.Concat(higher, lower)
	if err := fs.durable(dd, x.newName, &x.src[0].st, others); err != nil {
		return false, err
	}
	if err := fs.removeCopies(x.r, x.to, x.newName, others, len(higher)); err != nil {
		return false, err
	}
	aside, err := fs.setAside(x, higher)
	if err == nil {
		err = fs.dropOld(x, sd)
	}
	switch {
	case err == nil:
		fs.dropAside(aside)
		return true, nil
	case fs.putBack(x, aside, len(higher)):
		return false, err
	}
	return true, fs.goOn(x, sd, dd, higher, err)
}

// dropOld removes the old name.
func (fs *FS) dropOld(x *renaming, sd *tier.Dir) error {
	return fs.onNetwork(sd.Tier, x.r, func() error { return sd.Unlink(x.name) })
}

// goOn finishes a rename whose new name shows the file, when what it replaced
// cannot be put back. A power cut could bring that to light again, so a record
// has the next mount remove it. Without one both names stay, as both are better
// than none.
func (fs *FS) goOn(x *renaming, sd, dd *tier.Dir, higher []copyAt, why error) error {
	record, err := fs.intendReplace(x, dd, higher)
	if err != nil {
		return why
	}
	record.leave(nextMount)
	if fs.dropOld(x, sd) != nil {
		return why
	}
	fs.log.Warn("a file was renamed over one on a disk that fails; check that disk", "name", x.newName, "tier", fs.Tiers()[higher[0].rank].Root, "err", why)
	return nil
}

// aside is a file that was taken from its name into the staging directory of
// its tier.
type aside struct {
	from, staging *tier.Dir
	name          string // in staging, "" if the file had to be removed at once
}

// setAside takes the copies of the new name away, lowest first, each durably
// before what is on another filesystem changes: the next one, and at last the
// old name. On an error it returns what it has set aside until then.
func (fs *FS) setAside(x *renaming, higher []copyAt) (all []aside, err error) {
	for i := len(higher) - 1; i >= 0; i-- {
		d, err := fs.dir(x.to, higher[i].rank)
		if err != nil {
			return all, err
		}
		a := aside{from: d, name: stagingName()}
		if a.staging, err = fs.staging(d.Tier); err != nil {
			d.Put()
			return all, err
		}
		err = d.Rename(x.newName, a.staging, a.name, 0)
		var st unix.Stat_t
		if err != nil && a.staging.Stat(a.name, &st) == nil {
			err = nil // carried out, whatever the tier says
		}
		if err == unix.EXDEV || err == unix.EACCES || err == unix.EPERM {
			// Another filesystem is mounted inside the tier here, or its server lets
			// only the client at the file.
			a.name = ""
			err = fs.onNetwork(d.Tier, x.r, func() error { return d.Unlink(x.newName) })
		}
		if err != nil && !absent(err) {
			a.put()
			return all, err
		}
		all = append(all, a)
		next := x.src[0].st.Dev
		if i > 0 {
			next = higher[i-1].st.Dev
		}
		if next != higher[i].st.Dev {
			if err := d.Sync(); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

func (a *aside) put() {
	a.from.Put()
	a.staging.Put()
}

// putBack undoes setAside of so many copies and reports whether the new name
// shows what it did: the highest, which comes last.
func (fs *FS) putBack(x *renaming, all []aside, copies int) (shown bool) {
	shown = len(all) < copies
	for i, a := range slices.Backward(all) {
		if a.name != "" && a.staging.Rename(a.name, a.from, x.newName, unix.RENAME_NOREPLACE) == nil {
			shown = shown || i == copies-1
		} else {
			fs.log.Error("a file that a rename has replaced cannot be put back, so the rename goes on; check the disk", "tier", a.from.Tier.Root, "name", x.newName)
		}
		a.put()
	}
	return shown
}

// dropAside removes what was set aside.
func (fs *FS) dropAside(all []aside) {
	for _, a := range all {
		if a.name != "" {
			fs.unstage(a.staging, a.name)
		}
		a.put()
	}
}

// renameByIntent is renameUnder where the tier has no hard links: for a moment
// the file has no visible name, so a record says how to finish. What is removed
// by it later must not be all there is, so the file is durable before.
func (fs *FS) renameByIntent(x *renaming, sd, dd *tier.Dir, higher, lower []copyAt) error {
	others := slices.Concat(higher, lower)
	defer fs.moves.pin(x.from, x.to)() // the paths in the record hold
	if err := fs.durable(sd, x.name, &x.src[0].st, others); err != nil {
		return err
	}
	record, err := fs.intendReplace(x, dd, others)
	if err != nil {
		return err
	}
	if err := fs.step(x, sd, dd); err != nil {
		record.finish()
		return err
	}
	if err = fs.durable(dd, x.newName, &x.src[0].st, others); err == nil {
		err = fs.removeCopies(x.r, x.to, x.newName, others, 0)
	}
	switch {
	case err != nil && dd.Rename(x.newName, sd, x.name, 0) != nil:
		fs.uncover(x, higher)
		record.leave(nextMount)
		return err
	case err == nil && others[0].st.Dev != x.src[0].st.Dev:
		// There is no way back, but until this is durable the record stays.
		if e := fs.syncAt(x.to, others[0].rank); e != nil {
			fs.log.Warn("a file was renamed over one on a disk that fails; check that disk", "name", x.newName, "tier", fs.Tiers()[others[0].rank].Root, "err", e)
			record.leave(nextMount)
			return nil
		}
	}
	record.finish()
	return err
}

// syncAt makes the names durable that p has on the tier with rank.
func (fs *FS) syncAt(p *inode.Inode, rank int) error {
	d, err := fs.dir(p, rank)
	if err != nil {
		return err
	}
	defer d.Put()
	return d.Sync()
}

// uncover brings a file to light that is under its new name and cannot be taken
// back: what hides it is set aside. Hidden, it would pass for a stale copy.
func (fs *FS) uncover(x *renaming, higher []copyAt) {
	all, err := fs.setAside(x, higher)
	if err != nil {
		fs.log.Error("a renamed file is hidden until the next mount; unmount and mount again to see it", "name", x.newName, "err", err)
	}
	for _, a := range all {
		a.put()
	}
}
