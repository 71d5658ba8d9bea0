package tierfs

import (
	"cmp"
	"errors"
	"slices"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// under is a rename below a file of a higher tier, which hides the new name until it is
// set aside. A record has the next mount undo it as long as the old name is there, and
// else finish it:
//
//	record  link  set aside  remove the old name  remove what is aside  drop the record
//
// Until the old name goes, what it is to replace is whole, under its name or aside. So
// nothing is lost if a tier carries a step out and says that it has failed, or says
// nothing any more.
type under struct {
	fs     *FS
	x      *renaming
	sd, dd *tier.Dir
	higher []copyAt
	record *record // its Replaced are higher
	clear  bool    // they are known to be gone from the name
}

// renameUnder renames where a higher tier has the new name.
func (fs *FS) renameUnder(x *renaming, sd, dd *tier.Dir, higher, same, lower []copyAt) error {
	if len(same) > 0 { // hidden by the higher one, to which a move may just have given the name
		if higher[0].st.Dev != same[0].st.Dev {
			if err := fs.syncAt(x.to, higher[0].rank); err != nil {
				return err
			}
		}
		if err := fs.removeCopies(x.r, x.to, x.newName, same, 0); err != nil {
			return err
		}
	}
	defer fs.moves.pin(x.from, x.to)() // the paths in the record hold
	u := under{fs: fs, x: x, sd: sd, dd: dd, higher: higher}
	var err error
	if u.record, err = fs.intendUnder(x, higher); err != nil {
		return err
	}
	err = fs.onNetwork(sd.Tier, x.r, func() error { return sd.Link(x.name, dd, x.newName) })
	switch err {
	case nil:
		err = u.show(lower)
	case unix.EPERM, unix.EOPNOTSUPP, unix.EMLINK, unix.ENOSYS:
		u.record.finish()
		return fs.renameByIntent(x, sd, dd, higher, lower)
	}
	if err != nil {
		return u.fail(err)
	}
	u.end()
	return nil
}

// end drops what was set aside, and the record, when the old name has gone for good: a
// power cut that brought it back would leave the file under both.
func (u *under) end() {
	if u.record.t.Dev() != u.sd.Tier.Dev() {
		if err := u.sd.Sync(); err != nil {
			u.record.leave(settleLater)
			return
		}
	}
	u.dropAside()
	u.record.finish()
}

// intendUnder records, on the tier where the visible file is to be set aside if that can
// take it, what becomes of the copies of the new name that hide the file.
func (fs *FS) intendUnder(x *renaming, higher []copyAt) (*record, error) {
	in, err := fs.replacement(x, higher)
	if err != nil {
		return nil, err
	}
	in.Kind = intentUnder
	for i := range in.Replaced {
		in.Replaced[i].Aside = stagingName()
	}
	return fs.journal.write(fs.Tiers()[higher[0].rank], in)
}

// show brings the link under the new name to light, and then removes the old name.
// What hides the link is only set aside before that, because the old name may be on a
// disk that fails.
func (u *under) show(lower []copyAt) error {
	fs, x := u.fs, u.x
	others := slices.Concat(u.higher, lower)
	if err := fs.durable(u.dd, x.newName, &x.src[0].st, others); err != nil {
		return err
	}
	if err := fs.removeCopies(x.r, x.to, x.newName, others, len(u.higher)); err != nil {
		return err
	}
	if err := u.setAside(); err != nil {
		return err
	}
	return u.dropOld()
}

// setAside takes the higher copies away, lowest first, each durably before what is on
// another filesystem changes: the next one, and at last the old name.
func (u *under) setAside() error {
	for i := len(u.higher) - 1; i >= 0; i-- {
		next := u.x.src[0].st.Dev
		if i > 0 {
			next = u.higher[i-1].st.Dev
		}
		gone, err := u.fs.setAside(u.x, &u.higher[i], u.record.in.Replaced[i].Aside, next)
		u.clear = gone && i == 0
		if err != nil {
			return err
		}
	}
	return nil
}

// dropOld removes the old name, unless another file has it by now: nobody but us keeps
// others than our clients from it, and the visible file may have taken long to sync.
func (u *under) dropOld() error {
	var st unix.Stat_t
	if err := u.sd.Stat(u.x.name, &st); err == nil && st.Ino != u.x.src[0].st.Ino && u.fs.NumbersLast(u.sd.Tier) {
		return nil
	}
	return u.fs.onNetwork(u.sd.Tier, u.x.r, func() error { return u.sd.Unlink(u.x.name) })
}

// dropAside removes what was set aside.
func (u *under) dropAside() {
	for i := range u.higher {
		if staging, err := u.fs.staging(u.fs.Tiers()[u.higher[i].rank]); err == nil {
			u.fs.unstage(staging, u.record.in.Replaced[i].Aside)
			staging.Put()
		}
	}
}

// fail takes back what has been done. What cannot be taken back now, or may yet be done
// by a tier that does not answer, is left to the chores. But if a file that was set
// aside is known to be so, and cannot have its name again, the rename goes on.
func (u *under) fail(why error) error {
	fs, x := u.fs, u.x
	back := u.putBack()
	if back != nil && u.shown() {
		if err := u.dropOld(); err == nil || absent(err) {
			fs.log.Warn("a file was renamed over one on a disk that fails; check that disk", "name", x.newName, "tier", fs.Tiers()[u.higher[0].rank].Root, "err", cmp.Or(back, why))
			u.record.leave(settleLater)
			return nil
		}
		u.giveUp()
		return why
	}
	if err := u.unlink(); err != nil || back != nil {
		u.giveUp()
		return why
	}
	u.record.finish()
	return why
}

// giveUp leaves what is to be taken back to the chores or the next mount, with a record
// that says so: a client that is told of the error may remove the old name, and that would
// look like the end of the rename.
func (u *under) giveUp() {
	u.record.in.Undo = true
	if r, err := u.fs.journal.write(u.record.t, u.record.in); err == nil {
		u.record.finish()
		u.record = r
	}
	u.record.leave(settleLater)
}

// putBack gives what is aside its name again, highest first. What could only be removed
// at once is errGone.
func (u *under) putBack() error {
	for i := range u.higher {
		if err := u.fs.putBack(u.x.to, u.x.newName, u.higher[i].rank, u.record.in.Replaced[i].Aside); err != nil {
			return err
		}
		d, err := u.fs.dir(u.x.to, u.higher[i].rank)
		if err != nil {
			return err
		}
		gone := d.Gone(u.x.newName, &u.higher[i].st)
		d.Put()
		if gone {
			return errGone
		}
		u.clear = false
	}
	return nil
}

var errGone = errors.New("a file that was to be replaced is not there any more")

// shown reports whether the link is known to be what the new name shows.
func (u *under) shown() bool {
	if u.clear {
		return true
	}
	all, err := u.fs.survey(u.x.to, u.x.newName)
	return err == nil && len(all) > 0 && all[0].rank == u.x.src[0].rank
}

// unlink takes the link away. If the old name has gone in spite of an error, it is that
// again: the kernel may not know, but the tier is asked for a name that is not to be
// replaced (LOOKUP_EXCL in fuse_dentry_revalidate).
func (u *under) unlink() error {
	var st unix.Stat_t
	src := &u.x.src[0].st
	mine := func() bool { return st.Ino == src.Ino || !u.fs.NumbersLast(u.dd.Tier) }
	u.dd.Ask(u.x.newName)
	if err := u.dd.Stat(u.x.newName, &st); err != nil || !mine() {
		return unlessAbsent(err)
	}
	err := u.dd.Rename(u.x.newName, u.sd, u.x.name, unix.RENAME_NOREPLACE)
	if err == nil {
		return tier.SyncNames(u.sd, u.dd)
	}
	if err != unix.EEXIST {
		return err
	}
	if err := u.sd.Stat(u.x.name, &st); err != nil || !mine() {
		return cmp.Or(err, error(errChanged))
	}
	if err := u.dd.Unlink(u.x.newName); err != nil {
		return err
	}
	return tier.SyncNames(u.dd)
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
	record, err := fs.intendReplace(x, dd, others, false)
	if err != nil {
		return err
	}
	if err := fs.step(x, sd, dd); err != nil {
		dd.Ask(x.newName)
		if e := dd.Rename(x.newName, sd, x.name, unix.RENAME_NOREPLACE); e != nil && e != unix.EEXIST {
			record.leave(nextMount) // hidden, if the tier has carried it out
			return err
		}
		record.endUndone(sd, dd)
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
	case err != nil:
		record.endUndone(sd, dd)
		return err
	case others[0].st.Dev != x.src[0].st.Dev:
		// There is no way back, but until this is durable the record stays.
		if e := fs.syncAt(x.to, others[0].rank); e != nil {
			fs.log.Warn("a file was renamed over one on a disk that fails; check that disk", "name", x.newName, "tier", fs.Tiers()[others[0].rank].Root, "err", e)
			record.leave(nextMount)
			return nil
		}
	}
	record.finish()
	return nil
}

// endUndone ends the record of a rename that was taken back in these directories. Until
// that is durable the record stays: the disk may have written the rename already.
func (r *record) endUndone(sd, dd *tier.Dir) {
	if tier.SyncNames(sd, dd) != nil {
		r.leave(nextMount)
		return
	}
	r.finish()
}

// syncAt makes the names durable that p has on the tier with rank.
func (fs *FS) syncAt(p *inode.Inode, rank int) error {
	d, err := fs.dir(p, rank)
	if err != nil {
		return err
	}
	defer d.Put()
	return tier.SyncNames(d)
}

// uncover brings a file to light that is under its new name and cannot be taken
// back: what hides it is set aside. Hidden, it would pass for a stale copy.
func (fs *FS) uncover(x *renaming, higher []copyAt) {
	for i := len(higher) - 1; i >= 0; i-- {
		if _, err := fs.setAside(x, &higher[i], stagingName(), 0); err != nil {
			fs.log.Error("a renamed file is hidden until the next mount; unmount and mount again to see it", "name", x.newName, "err", err)
			return
		}
	}
}
