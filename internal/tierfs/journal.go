package tierfs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/sys"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// An intent is written to .tierfs/journal of a tier before an operation that
// takes several steps on several tiers, and removed after the last. A mount
// that finds one finishes the operation; every step is idempotent.
type intent struct {
	Kind     string `json:"kind"`
	From     string `json:"-"`
	To       string `json:"-"`
	FromRaw  []byte `json:"from,omitempty"` // names are bytes, not UTF-8
	ToRaw    []byte `json:"to"`
	Moves    []move `json:"moves"`              // what goes from From to To, highest tier first
	Replaced []move `json:"replaced,omitempty"` // what To was before
	Undo     bool   `json:"undo,omitempty"`     // with intentUnder, it has failed, and is not finished whatever there is

	Relocation *relocation `json:"relocation,omitempty"` // all there is to a move between tiers

	brief bool // its record outlives the daemon; a power cut may leave it, empty it, or take it
}

// Kinds of intents.
const (
	intentRename  = "rename-directory"
	intentReplace = "replace-file"  // From on Moves[0] has come into place as To; what it replaces goes
	intentMove    = "move-files"    // between tiers, see relocation
	intentUnder   = "replace-above" // From on Moves[0] gets the name To, below what it replaces; see under
)

// move is a backing inode on a member tier. A name that leads to another inode
// by the time of the replay is left alone.
type move struct {
	Member string `json:"member"`
	Ino    uint64 `json:"ino"`
	Born   int64  `json:"born,omitempty"`  // in ns since 1970, as a number is given out again; 0: not known
	Aside  string `json:"aside,omitempty"` // with intentUnder, its name in the staging directory
}

// maxIntent bounds a record: two paths, and the moves of many tiers; or a path
// and what is to be known of mover.MaxBatch files.
const maxIntent = 512 << 10

// journal writes intents and replays them.
type journal struct {
	fs      *FS
	members atomic.Pointer[[]string] // member IDs by rank; none in a mount without marks
	serial  atomic.Uint64
	replays atomic.Uint64 // operations of earlier daemons that were finished
	news    chan struct{} // something was left, or a tier is back

	// calm is held for reading while a directory is renamed, for writing by the
	// chores, which finish such renames: their paths hold meanwhile.
	calm sync.RWMutex

	mu       sync.Mutex
	standing map[string]*record // our own by name, which a replay leaves alone; GUARDED_BY(mu)
	left     []*record          // those of them that the chores are to finish; GUARDED_BY(mu)

	takings takings
}

func newJournal(fs *FS) *journal {
	return &journal{fs: fs, news: make(chan struct{}, 1), standing: map[string]*record{}, takings: takings{aside: map[string]bool{}}}
}

// SetMembers tells the tiers' member IDs, by rank.
func (fs *FS) SetMembers(ids []string) { fs.journal.members.Store(&ids) }

// moveOf is the copy c of name in p.
func (fs *FS) moveOf(p *inode.Inode, name string, c *copyAt) move {
	m := move{Member: (*fs.journal.members.Load())[c.rank], Ino: c.st.Ino}
	if d, err := fs.dir(p, c.rank); err == nil {
		defer d.Put()
		m.Born = bornAs(d, name, c.st.Ino)
	}
	return m
}

// bornAs is when name in d was made, in ns since 1970, if it is the inode with that number:
// 0 if it is not, or nobody knows. A server's clock or its cache tells nothing.
func bornAs(d *tier.Dir, name string, ino uint64) int64 {
	var s tier.Sight
	if d.Tier.Network || d.Look(name, &s) != nil || s.Stat.Ino != ino || s.Born.IsZero() {
		return 0
	}
	return s.Born.UnixNano()
}

// record is an intent that stands in a journal.
type record struct {
	j    *journal
	in   *intent
	t    *tier.Tier
	name string
	lock *tier.File // see lockRecord; nil if it is not had
	todo chore
	owed [2]*dirTimes // what directories are to get back when their tier answers again

	// For undoRename: the directories that From was, those of them that have been renamed,
	// held open, and the empty directories that To was.
	src  []copyAt
	held []*tier.Dir
	dst  []copyAt
}

// write makes an intent durable: on the tier, or if that cannot take it on any
// other; not so a brief one, for which nobody is to wait. All records are read at the next mount.
func (j *journal) write(t *tier.Tier, in *intent) (*record, error) {
	b, err := in.text()
	if err != nil {
		return nil, err
	}
	r, err := j.writeOn(t, in, b)
	if err == nil || in.brief {
		return r, err
	}
	for _, other := range j.fs.Tiers() {
		if other == t || other.ReadOnly() || other.Suspect() {
			continue
		}
		if r, e := j.writeOn(other, in, b); e == nil {
			return r, nil
		}
	}
	return nil, err
}

// text is what is written of an intent.
func (in *intent) text() ([]byte, error) {
	in.FromRaw, in.ToRaw = []byte(in.From), []byte(in.To)
	b, err := json.Marshal(in)
	switch {
	case err != nil:
		return nil, unix.EIO
	case len(b) > maxIntent: // no mount would read it
		return nil, unix.ENAMETOOLONG
	}
	return b, nil
}

// writeOn writes a record, whole or not at all: it is prepared in the staging
// directory.
func (j *journal) writeOn(t *tier.Tier, in *intent, b []byte) (*record, error) {
	staging, err := j.fs.staging(t)
	if err != nil {
		return nil, err
	}
	defer staging.Put()
	temp := stagingName()
	if err := writeFile(staging, temp, b, !in.brief); err != nil {
		j.fs.unstage(staging, temp)
		return nil, err
	}
	return j.enact(staging, temp, in)
}

// enact makes a record of the file temp in a staging directory, whose content is
// durable if that of the record is to be. It takes the file away in any case.
func (j *journal) enact(staging *tier.Dir, temp string, in *intent) (*record, error) {
	d, err := staging.Tier.Private("journal")
	if err != nil {
		j.fs.unstage(staging, temp)
		return nil, err
	}
	defer d.Put()
	lock, err := lockRecord(staging, temp)
	if err != nil {
		j.fs.unstage(staging, temp)
		return nil, err
	}
	r := j.stand(staging.Tier, in)
	r.lock = lock
	if err := staging.Rename(temp, d, r.name, 0); err != nil {
		j.fs.unstage(staging, temp)
		r.finish() // it may be there all the same
		return nil, err
	}
	if in.brief {
		return r, nil
	}
	if err := d.Sync(); err != nil {
		r.finish() // nothing has begun that it could finish
		return nil, err
	}
	return r, nil
}

// stand makes a record that a replay leaves alone.
func (j *journal) stand(t *tier.Tier, in *intent) *record {
	name := fmt.Sprintf("%x-%d", time.Now().UnixNano(), j.serial.Add(1))
	if in.brief {
		name = briefPrefix + name
	}
	return j.adopt(t, in, name)
}

// briefPrefix is how the name of a record begins that is not synced.
const briefPrefix = "brief-"

// adopt makes a record ours.
func (j *journal) adopt(t *tier.Tier, in *intent, name string) *record {
	r := &record{j: j, in: in, t: t, name: name}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.standing[r.name] = r
	return r
}

// forget is the end of a record that is not there any more.
func (r *record) forget() {
	putAll(r.held)
	r.held = nil
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	delete(r.j.standing, r.name)
	for _, d := range r.owed {
		r.j.fs.times.leave(d)
	}
	r.owed = [2]*dirTimes{}
}

// unlock gives up the lock.
func (r *record) unlock() {
	if r.lock != nil {
		r.lock.Close()
		r.lock = nil
	}
}

// leave lets the record stand until the chores have done todo, or else for the
// next mount.
func (r *record) leave(todo chore) {
	r.j.takings.left.Add(1)
	r.unlock()
	if r.todo = todo; todo == nextMount {
		return
	}
	r.j.mu.Lock()
	r.j.left = append(r.j.left, r)
	r.j.mu.Unlock()
	r.j.tell()
}

// finish removes the record, durably: a power cut must not bring it back. If
// that cannot be done it is done later, as the record must not be taken for an
// operation that waits to be finished.
func (r *record) finish() {
	if err := r.remove(); err != nil {
		r.j.fs.warnOnce(r.t.Root, "cannot remove the record of a finished operation yet; it is tried again", "tier", r.t.Root, "err", err)
		r.leave(dropRecord)
	}
}

func (r *record) remove() error {
	d, err := r.t.Private("journal")
	if err != nil {
		return err
	}
	defer d.Put()
	lock := r.lock
	r.lock = nil
	err = dropLocked(d, r.name, lock)
	if err == nil && !r.in.brief {
		err = d.Sync()
	}
	if err != nil {
		return err
	}
	r.forget()
	return nil
}

// dropLocked removes a record and gives up its lock, which may be nil. Where the
// server or the client gives what is open another name (NFS, libfuse) it is closed first, as
// that name would be a record.
func dropLocked(d *tier.Dir, name string, lock *tier.File) error {
	if lock != nil && d.Tier.Network {
		lock.Close()
		lock = nil
	}
	err := d.Unlink(name)
	if lock != nil {
		lock.Close()
	}
	return unlessAbsent(err)
}

// writeFile writes the new file name in d, and with durable makes that of its content.
func writeFile(d *tier.Dir, name string, b []byte, durable bool) error {
	f, err := d.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0600)
	if err != nil {
		return err
	}
	defer f.Close()
	if n, err := f.Pwrite(b, 0); err != nil || n < len(b) {
		return cmp.Or(err, error(unix.EIO))
	}
	if !durable {
		return nil
	}
	return f.Sync(false)
}

// Replay finishes what earlier daemons left. It is called by the daemon that holds the
// members' locks: before the mount, or when it gets them later. Records that cannot be
// understood, or whose tiers are not all here, stay and are reported.
func (fs *FS) Replay() { fs.ReplayTiers(context.Background(), 0, len(fs.Tiers())) }

// ReplayTiers is Replay for the tiers with the ranks from first up to before end: for what
// is on them, and the records elsewhere that name one of them. Others may be of an
// operation under way, of a mount without the locks. Between two records it ends with ctx.
func (fs *FS) ReplayTiers(ctx context.Context, first, end int) {
	if !fs.union {
		return
	}
	if fs.srv != nil {
		fs.journal.takings.left.Add(1) // clients take names from what stands, until it is through
	}
	among := func(t *tier.Tier) bool { return first <= t.Rank && t.Rank < end }
	tiers := fs.Tiers()[:end] // one that is added meanwhile has a replay of its own
	for _, t := range tiers {
		if t.ReadOnly() {
			continue
		}
		concerns := func(in *intent) bool { return among(t) || fs.journal.names(in, among) }
		if err := fs.journal.replayTier(ctx, t, concerns); err != nil {
			fs.journal.takings.left.Add(1)
			fs.log.Warn("cannot read .tierfs/journal, so what a crash interrupted may stay unfinished; check the disk and mount anew", "tier", t.Root, "err", err)
		}
	}
	var sweeps []sweep
	for _, t := range tiers {
		if !among(t) || t.ReadOnly() {
			continue
		}
		if d, names, err := listed(t, "staging"); err == nil {
			defer d.Put()
			sweeps = append(sweeps, sweep{d, names})
		}
	}
	// After the lists: what is set aside has a record first.
	if named, err := fs.journal.named(); err == nil {
		for _, s := range sweeps {
			s.run(named)
		}
	}
	fs.journal.tell()    // who had a record's lock may have gone
	fs.dirs.DropTier(-1) // what was opened before may have another name now
	fs.coherence.everything()
}

// Replays counts the operations that Replay has finished.
func (fs *FS) Replays() uint64 { return fs.journal.replays.Load() }

// sweep is what a staging directory has.
type sweep struct {
	d     *tier.Dir
	names []string
}

// run removes directories that were prepared and never put in place, and copies. A file
// that was to be replaced stays as long as a record names it.
func (s sweep) run(named map[string]error) {
	for _, name := range s.names {
		if !strings.HasPrefix(name, stagingPrefix) && named[name] == nil { // of no operation of ours under way
			removeEither(s.d, name)
		}
	}
}

// listed opens a private directory of a tier, for the caller to Put, and lists it.
func listed(t *tier.Tier, name string) (*tier.Dir, []string, error) {
	d, err := t.Private(name)
	if err != nil {
		return nil, nil, err
	}
	names, err := entriesOf(d)
	if err != nil {
		d.Put()
		return nil, nil, err
	}
	return d, names, nil
}

// entriesOf lists a directory.
func entriesOf(d *tier.Dir) (all []string, err error) {
	f, err := d.List()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = f.ReadDir(func(e sys.Dirent) error {
		all = append(all, e.Name)
		if len(all) == maxRecords {
			return errMany
		}
		return nil
	})
	if err == errMany {
		err = nil
	}
	return all, err
}

// maxRecords bounds what is read of a directory of ours in one go; what daemons
// leave is a handful.
const maxRecords = 4096

var errMany = errors.New("more than that")

// replayTier replays the records on a tier that concern us. One that cannot be read does.
func (j *journal) replayTier(ctx context.Context, t *tier.Tier, concerns func(in *intent) bool) error {
	d, names, err := listed(t, "journal")
	if err != nil {
		return err
	}
	defer d.Put()
	for _, name := range names {
		if ctx.Err() == nil && !j.stands(name) {
			j.replay(d, name, concerns)
		}
	}
	return nil
}

// replay finishes what a record in d says, and removes it. Since it was listed it may have
// gone, if it is of an operation that was under way.
func (j *journal) replay(d *tier.Dir, name string, concerns func(in *intent) bool) {
	in, err := readIntent(d, name)
	if void(name, err) {
		d.Unlink(name)
		return
	}
	if absent(err) || err == nil && !concerns(in) {
		return
	}
	var lock *tier.File
	if err == nil {
		lock, err = lockRecord(d, name)
	}
	if absent(err) {
		return
	}
	if err == nil {
		err = j.finish(in)
	}
	if err != nil && lock != nil {
		lock.Close()
	}
	if inUse(err) {
		j.adopt(d.Tier, in, name).leave(settleLater)
		return
	}
	if err != nil {
		j.takings.left.Add(1)
		j.fs.log.Error("an unfinished operation cannot be finished; its record stays in .tierfs/journal for the next mount; see tierfs check --repair", "tier", d.Tier.Root, "record", name, "err", err)
		return
	}
	j.replays.Add(1)
	j.fs.log.Info("finished an operation that a crash had interrupted", "tier", d.Tier.Root)
	_ = dropLocked(d, name, lock)
	d.Sync()
}

// recordPatience bounds the wait for the lock of a record: the process that had it may
// just be ending, which gives up its locks one by one.
const recordPatience = 200 * time.Millisecond

// lockRecord takes the lock of a record, flock(2). Whoever works on an operation has that of
// its record, from before it can be seen until it has gone or is left; a daemon may do so
// without the members' locks, beside another that replays. The error is errUsed while
// another has it. Where the tier has no locks, nobody is kept out.
func lockRecord(d *tier.Dir, name string) (*tier.File, error) {
	mode := unix.O_RDONLY // as in openLock of package tier
	if d.Tier.Remote {    // not FUSE: rclone puts off the rename of a file that is open so
		mode = unix.O_RDWR
	}
	f, err := d.Open(name, mode|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if f.Lock(recordPatience) == unix.EWOULDBLOCK {
		f.Close()
		return nil, errUsed
	}
	if err := d.Stat(name, new(unix.Stat_t)); err != nil { // who had it has ended it
		f.Close()
		return nil, err
	}
	return f, nil
}

// stands reports whether the record is our own.
func (j *journal) stands(name string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.standing[name] != nil
}

// finish does what is left to do of an intent.
func (j *journal) finish(in *intent) error {
	switch in.Kind {
	case intentRename:
		return j.replayRename(in)
	case intentReplace:
		return j.replayReplace(in)
	case intentUnder:
		return j.replayUnder(in, false)
	case intentMove:
		return j.replayMove(in.Relocation)
	}
	return fmt.Errorf("unknown kind %q", in.Kind)
}

var errNoRecord = errors.New("not a record, or a damaged one; look at it, then move it away")

// void reports whether reading a record has shown what a power cut leaves of one that was
// not synced.
func void(name string, err error) bool {
	return err == errNoRecord && strings.HasPrefix(name, briefPrefix)
}

// readIntent reads a record as what it may be: hostile.
func readIntent(d *tier.Dir, name string) (*intent, error) {
	f, err := d.Open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := f.Stat(&st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxIntent {
		return nil, errNoRecord
	}
	b := make([]byte, st.Size)
	n, err := f.Pread(b, 0)
	if err != nil {
		return nil, err
	}
	return parseIntent(b[:n])
}

// parseIntent accepts paths that stay inside a tier and out of .tierfs.
func parseIntent(b []byte) (*intent, error) {
	var in intent
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, errNoRecord
	}
	in.From, in.To = string(in.FromRaw), string(in.ToRaw)
	if in.Kind == intentMove {
		if !in.Relocation.valid() {
			return nil, errNoRecord
		}
		return &in, nil
	}
	unnamed := func(m move) bool { return !inside(m.Aside) || strings.Contains(m.Aside, "/") }
	if !inside(in.To) || !inside(in.From) && (in.From != "" || in.Kind != intentReplace) || len(in.Moves) == 0 ||
		in.Kind == intentUnder && slices.ContainsFunc(in.Replaced, unnamed) {
		return nil, errNoRecord
	}
	return &in, nil
}

// inside reports whether p is a clean relative path below a tier's root.
func inside(p string) bool {
	return p != "" && p != "." && p[0] != '/' && path.Clean(p) == p && !strings.ContainsRune(p, 0) &&
		p != ".." && !strings.HasPrefix(p, "../") && p != hiddenName && !strings.HasPrefix(p, hiddenName+"/")
}

// names reports whether an intent names one of some tiers.
func (j *journal) names(in *intent, among func(t *tier.Tier) bool) bool {
	var ids []string
	for _, m := range slices.Concat(in.Moves, in.Replaced) {
		ids = append(ids, m.Member)
	}
	if r := in.Relocation; r != nil {
		ids = append(ids, r.Source, r.Target)
	}
	return slices.ContainsFunc(ids, func(id string) bool {
		t, err := j.member(id)
		return err == nil && among(t)
	})
}

// member is the tier with the ID.
func (j *journal) member(id string) (*tier.Tier, error) {
	tiers := j.fs.Tiers() // one that is being added has an ID first
	for rank, have := range *j.members.Load() {
		if have == id && rank < len(tiers) {
			return tiers[rank], nil
		}
	}
	return nil, fmt.Errorf("member %q is not in this mount", id)
}
