package tierfs

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/tierfs/tierfs/internal/mover"
)

// stuck has the record of a move of d/f from tier 0 to tier 1 whose source is
// in the trash, and is not what was copied.
func stuck(t *testing.T) *rig {
	r := newRig(t, 2)
	r.write(0, ".tierfs/trash/x-1", "perhaps the only copy")
	encode := base64.StdEncoding.EncodeToString
	const stamp = `{"ino":1,"size":1,"mode":33188,"uid":0,"gid":0,"mtime":{"Sec":1,"Nsec":1},"ctime":{"Sec":1,"Nsec":1}}`
	r.rawRecord(1, fmt.Sprintf(`{"kind":"move-files","to":"","moves":null,"relocation":{"source":%q,"target":%q,"dir":%q,"files":[{"name":%q,"source":%s,"copy":%[5]s,"aside":"x-1"}]}}`,
		member(0), member(1), encode([]byte("d")), encode([]byte("f")), stamp))
	return r
}

// No mount can end such a move: a repair does, and what was in the trash is seen
// under a name, which is that of another file never.
func TestEndOfAMoveThatNoMountCanEnd(t *testing.T) {
	for what, tt := range map[string]struct {
		prepare func(r *rig)
		name    string
		left    map[int]string // d/f after that, by tier
		mount   bool           // the mount ends it by itself
	}{
		"its name is taken on the source": {prepare: func(r *rig) { r.write(0, "d/f", "another") },
			name: "d/f.recovered-by-tierfs-1", left: map[int]string{0: "another"}},
		"its name is taken on the target": {prepare: func(r *rig) { r.mkdir(0, "d"); r.write(1, "d/f", "another") },
			name: "d/f.recovered-by-tierfs-1", left: map[int]string{1: "another"}},
		"so is the other name": {prepare: func(r *rig) {
			r.write(0, "d/f", "another")
			r.write(1, "d/f.recovered-by-tierfs-1", "a third")
		}, name: "d/f.recovered-by-tierfs-2", left: map[int]string{0: "another"}},
		"its directory has gone":                   {prepare: func(r *rig) {}, name: RecoveredDir + "/x-1"},
		"its directory has gone from the source":   {prepare: func(r *rig) { r.write(1, "d/other", "") }, name: RecoveredDir + "/x-1"},
		"a file is there instead of its directory": {prepare: func(r *rig) { r.write(0, "d", "a file") }, name: RecoveredDir + "/x-1"},
		"its name is free":                         {prepare: func(r *rig) { r.mkdir(0, "d") }, name: "d/f", mount: true},
	} {
		t.Run(what, func(t *testing.T) {
			r := stuck(t)
			tt.prepare(r)
			fs := r.open()
			fs.Replay()
			if !tt.mount {
				r.want(0, ".tierfs/trash/x-1", true)
				all := r.findings(fs)
				if len(all) != 2 || all[0].Kind != mover.Record || all[1].Kind != mover.Trash {
					t.Fatalf("found %+v", all)
				}
				f := all[0]
				if of, ok := fs.Interrupted(f); !ok || of != `the move of "d/f"` {
					t.Errorf("of %s, %v", of, ok)
				}
				if err := fs.End(f); err != nil {
					t.Fatal(err)
				}
			}
			r.wantContent(0, tt.name, "perhaps the only copy")
			for rank, content := range tt.left {
				r.wantContent(rank, "d/f", content)
			}
			r.wantTidy()
			r.admit(fs, tt.name) // the mount shows it
			if all := r.findings(fs); len(all) > 0 {
				t.Errorf("left: %+v", all)
			}
		})
	}
}

// TestEndLeavesOtherRecords to the next mount, or to somebody who can read them.
func TestEndLeavesOtherRecords(t *testing.T) {
	for what, record := range map[string]string{
		"broken":      "{",
		"of a rename": `{"kind":"rename-directory","from":"YQ==","to":"Yg==","moves":[{"member":"x","ino":1}]}`,
	} {
		r := newRig(t, 2)
		r.rawRecord(0, record)
		fs := r.open()
		f := r.finding(fs, mover.Record)
		if of, ok := fs.Interrupted(f); ok {
			t.Errorf("%s: a move of %s", what, of)
		}
		if err := fs.End(f); err == nil {
			t.Errorf("%s: ended", what)
		}
		r.wantRecords(1)
	}
}
