package tierfs

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/mover"
)

// trashed has a file in the trash of tier 1.
func trashed(t *testing.T) *rig {
	r := newRig(t, 2)
	r.write(1, ".tierfs/trash/x-1", "perhaps the only copy")
	return r
}

func TestRecoverShowsWhatIsInTheTrash(t *testing.T) {
	r := trashed(t)
	fs := r.open()
	name, err := fs.Recover(r.finding(fs, mover.Trash))
	if err != nil || name != "recovered-by-tierfs/x-1" {
		t.Fatalf("%q, %v", name, err)
	}
	r.wantContent(1, name, "perhaps the only copy")
	r.want(1, ".tierfs/trash/x-1", false)
	r.admit(fs, name) // the mount shows it
	if st, err := os.Stat(r.at(1, RecoveredDir)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", st, err)
	}
	// The directory serves again, and for the other tier too.
	r.write(1, ".tierfs/trash/x-2", "b")
	r.write(0, ".tierfs/trash/x-3", "c")
	for _, f := range r.findings(fs) {
		if _, err := fs.Recover(f); err != nil {
			t.Error(err)
		}
	}
	r.wantContent(1, RecoveredDir+"/x-2", "b")
	r.wantContent(0, RecoveredDir+"/x-3", "c")
	if all := r.findings(fs); len(all) > 0 {
		t.Errorf("left: %+v", all)
	}
}

// The next mount knows the name of a file that a record names, and of a record
// that cannot be read nobody knows what it names.
func TestRecoverLeavesWhatARecordMayName(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	stamp := `{"ino":1,"size":1,"mode":33188,"uid":0,"gid":0,"mtime":{"Sec":1,"Nsec":1},"ctime":{"Sec":1,"Nsec":1}}`
	for want, record := range map[string]string{
		`it is "d/f"`: fmt.Sprintf(`{"kind":"move-files","to":"","moves":null,"relocation":{"source":%q,"target":%q,"dir":%q,"files":[{"name":%q,"source":%s,"copy":%[5]s,"aside":"x-1"}]}}`,
			member(1), member(0), encode([]byte("d")), encode([]byte("f")), stamp),
		"cannot be read": "{",
	} {
		r := trashed(t)
		r.rawRecord(0, record)
		fs := r.open()
		before := r.snapshot()
		for _, f := range r.findings(fs) {
			if f.Kind != mover.Trash {
				continue
			}
			if name, err := fs.Recover(f); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, %v, want %s", name, err, want)
			}
		}
		r.wantSame(before)
		r.want(1, ".tierfs/trash/x-1", true)
	}
}

// Whoever could get at the file is not known any more: the directory must not
// be one that others can enter, on whichever tier.
func TestRecoverShowsNothingToOthers(t *testing.T) {
	for name, plant := range map[string]func(r *rig){
		"a directory of all": func(r *rig) {
			r.mkdir(0, RecoveredDir)
			if err := os.Chmod(r.at(0, RecoveredDir), 0o755); err != nil {
				r.Fatal(err)
			}
		},
		"a file":            func(r *rig) { r.write(0, RecoveredDir, "") },
		"changed meanwhile": func(r *rig) { r.write(1, ".tierfs/trash/x-1", "another") },
		"gone meanwhile":    func(r *rig) { r.remove(1, ".tierfs/trash/x-1") },
	} {
		t.Run(name, func(t *testing.T) {
			r := trashed(t)
			fs := r.open()
			f := r.finding(fs, mover.Trash)
			plant(r)
			if _, err := fs.Recover(f); err == nil {
				t.Error("recovered")
			}
			r.want(1, RecoveredDir+"/x-1", false)
		})
	}
}
