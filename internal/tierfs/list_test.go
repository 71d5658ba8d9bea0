package tierfs

import (
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// TestARowThatCannotBeLookedAtIsListed: a row whose stat failed with EIO was
// left out, and the listing looked complete.
func TestARowThatCannotBeLookedAtIsListed(t *testing.T) {
	r := newRig(t, 1)
	fs := r.open()
	d := fs.Tiers()[0].RootDir()
	defer d.Put()
	m := merger{fs: fs, in: fs.table.Root(), l: &listing{}}
	tooLong := strings.Repeat("n", 300) // for any stat(2): ENAMETOOLONG
	m.row(d, 0, 1, sys.Dirent{Name: tooLong, Type: unix.DT_DIR, Ino: 77})
	m.row(d, 0, 1, sys.Dirent{Name: "removed meanwhile", Type: unix.DT_DIR, Ino: 78})
	if m.l.len() != 1 || m.l.name(m.l.row(0)) != tooLong || m.l.row(0).typ != unix.DT_DIR {
		t.Errorf("listed: %+v", m.l.rows)
	}
}
