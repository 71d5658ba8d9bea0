package tierfs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/inode"
	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// rig is a set of tiers in a temporary directory, which tests change by hand
// as a crash would have left them.
type rig struct {
	*testing.T
	dir   string
	tiers int
	log   bytes.Buffer
	last  *FS
}

func newRig(t *testing.T, tiers int) *rig {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, dir: dir, tiers: tiers}
	for rank := range tiers {
		r.mkdir(rank, "")
	}
	return r
}

// at is the real path of a name on a tier.
func (r *rig) at(rank int, name string) string { return filepath.Join(r.dir, fmt.Sprint(rank), name) }

func (r *rig) mkdir(rank int, name string) {
	r.Helper()
	if err := os.MkdirAll(r.at(rank, name), 0700); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) write(rank int, name, content string) {
	r.Helper()
	r.mkdir(rank, filepath.Dir(name))
	if err := os.WriteFile(r.at(rank, name), []byte(content), 0600); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) rename(rank int, from, to string) {
	r.Helper()
	if err := os.Rename(r.at(rank, from), r.at(rank, to)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) link(rank int, from, to string) {
	r.Helper()
	if err := os.Link(r.at(rank, from), r.at(rank, to)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) remove(rank int, name string) {
	r.Helper()
	if err := os.Remove(r.at(rank, name)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) ino(rank int, name string) uint64 {
	r.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(r.at(rank, name), &st); err != nil {
		r.Fatalf("%s: %v", r.at(rank, name), err)
	}
	return st.Ino
}

// has reports whether a tier has the name.
func (r *rig) has(rank int, name string) bool {
	_, err := os.Lstat(r.at(rank, name))
	return err == nil
}

func (r *rig) want(rank int, name string, has bool) {
	r.Helper()
	if r.has(rank, name) != has {
		r.Errorf("tier %d has %s: %v, want %v", rank, name, !has, has)
	}
}

func (r *rig) wantContent(rank int, name, want string) {
	r.Helper()
	if got, err := os.ReadFile(r.at(rank, name)); err != nil || string(got) != want {
		r.Errorf("tier %d, %s: %q, %v, want %q", rank, name, got, err, want)
	}
}

// member is the ID of the tier that was made with rank.
func member(rank int) string { return fmt.Sprintf("m%d", rank) }

// open mounts: the tiers by the ranks they were made with, in the given order. The daemon
// before has been killed.
func (r *rig) open(order ...int) *FS {
	r.Helper()
	if r.last != nil {
		r.last.journal.unlockAll()
	}
	r.last = r.beside(order...)
	return r.last
}

// unlockAll is what the end of a process does to the locks of its records.
func (j *journal) unlockAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.standing {
		r.unlock()
	}
}

// beside is open while the daemon before lives on.
func (r *rig) beside(order ...int) *FS {
	r.Helper()
	if order == nil {
		for rank := range r.tiers {
			order = append(order, rank)
		}
	}
	var roots, ids []string
	for _, rank := range order {
		roots = append(roots, r.at(rank, ""))
		ids = append(ids, member(rank))
	}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	set, err := tier.OpenSet(roots, tier.Config{Log: log, Timeout: time.Minute})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(set.Close)
	fs, err := New(set, Config{Log: log, MaxDirs: 16, MaxFiles: 1000, MaxListings: 2 << 20})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(fs.Close)
	fs.SetMembers(ids)
	return fs
}

// unlink removes the name in a directory, as a client does.
func (r *rig) unlink(fs *FS, dir, name string) {
	r.Helper()
	if err := fs.unlink(&fusedev.Request{}, r.admit(fs, dir).ID, name); err != nil {
		r.Fatal(err)
	}
}

// add takes in one more tier, by the rank it was made with, as a remount does.
func (r *rig) add(fs *FS, rank int) {
	r.Helper()
	t, err := fs.set.Open(r.at(rank, ""))
	if err == nil {
		err = fs.Extend(t, append(slices.Clone(*fs.journal.members.Load()), member(rank)))
	}
	if err != nil {
		r.Fatal(err)
	}
	fs.ReplayTiers(r.Context(), t.Rank, t.Rank+1)
}

// admit looks a path up, as the kernel would.
func (r *rig) admit(fs *FS, path string) *inode.Inode {
	r.Helper()
	in := fs.table.Root()
	for name := range strings.SplitSeq(path, "/") {
		var f found
		if err := fs.resolve(in, name, &f, nil); err != nil {
			r.Fatalf("%s: %v", path, err)
		}
		in = fs.admit(in, name, &f)
		in.Told.Store(permissions(&f.st))
	}
	return in
}

// mv renames as a client does, whose kernel has looked the old name up.
func (r *rig) mv(fs *FS, from, to string) error {
	r.Helper()
	r.admit(fs, from)
	parent := func(name string) uint64 {
		if dir := filepath.Dir(name); dir != "." {
			return r.admit(fs, dir).ID
		}
		return inode.RootID
	}
	return fs.rename(&fusedev.Request{}, &fusedev.RenameOp{Parent: parent(from), NewParent: parent(to), Name: filepath.Base(from), NewName: filepath.Base(to)})
}

// moved is a backing inode in a record.
type moved struct {
	rank int
	ino  uint64
}

// record writes an intent by hand, in the form that is on disk.
func (r *rig) record(rank int, kind, from, to string, moves, replaced []moved) string {
	r.Helper()
	list := func(all []moved) string {
		var s []string
		for _, m := range all {
			s = append(s, fmt.Sprintf(`{"member":%q,"ino":%d}`, member(m.rank), m.ino))
		}
		return "[" + strings.Join(s, ",") + "]"
	}
	encode := base64.StdEncoding.EncodeToString
	return r.rawRecord(rank, fmt.Sprintf(`{"kind":%q,"from":%q,"to":%q,"moves":%s,"replaced":%s}`,
		kind, encode([]byte(from)), encode([]byte(to)), list(moves), list(replaced)))
}

// underRecord is the record of a rename that sets others aside, as x- and their rank.
func (r *rig) underRecord(from, to string, src moved, others []moved) {
	r.Helper()
	in := intent{Kind: intentUnder, FromRaw: []byte(from), ToRaw: []byte(to), Moves: []move{{Member: member(src.rank), Ino: src.ino}}}
	for _, m := range others {
		in.Replaced = append(in.Replaced, move{Member: member(m.rank), Ino: m.ino, Aside: fmt.Sprint("x-", m.rank)})
	}
	b, err := json.Marshal(&in)
	if err != nil {
		r.Fatal(err)
	}
	r.rawRecord(others[0].rank, string(b))
}

// fails has the only record say that its rename has failed.
func (r *rig) fails() {
	r.Helper()
	record := r.records()[0]
	text, err := os.ReadFile(record)
	if err == nil {
		err = os.WriteFile(record, []byte(strings.Replace(string(text), "{", `{"undo":true,`, 1)), 0o600)
	}
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) rawRecord(rank int, content string) string {
	r.Helper()
	name := fmt.Sprintf(".tierfs/journal/%x", len(r.records()))
	r.write(rank, name, content)
	return name
}

// records are the intents that stand, on all tiers.
func (r *rig) records() (all []string) {
	for rank := range r.tiers {
		names, _ := filepath.Glob(r.at(rank, ".tierfs/journal/*"))
		all = append(all, names...)
	}
	return all
}

func (r *rig) wantRecords(n int) {
	r.Helper()
	if all := r.records(); len(all) != n {
		r.Errorf("%d records stand, want %d: %q\n%s", len(all), n, all, r.log.String())
	}
}

// snapshot is everything on all tiers but the places for records.
func (r *rig) snapshot() (all []string) {
	r.Helper()
	err := filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() == hiddenName {
			return filepath.SkipDir
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		content := ""
		if d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			content = string(b)
		}
		all = append(all, fmt.Sprintf("%s %d %o %q", path, st.Ino, st.Mode, content))
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return all
}

// wantSame wants nothing to have changed.
func (r *rig) wantSame(before []string) {
	r.Helper()
	if after := r.snapshot(); !slices.Equal(before, after) {
		r.Errorf("it was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}
