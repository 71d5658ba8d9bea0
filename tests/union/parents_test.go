package union

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestParentsAreMadeInASetGroupIDTier: the root of a tier for a group has the
// set-group-ID bit, and mkdir(2) hands it down to all that tierfs keeps there.
func TestParentsAreMadeInASetGroupIDTier(t *testing.T) {
	u := newUnion(t, 1, "create=primary")
	for rank := range u.Tiers {
		harness.Chmod(t, u.Tier(rank, ""), 0o2775)
	}
	u.Put(1, "d/sub/f", "F")
	u.dir("e", 0, 1)
	u.Up()
	u.create("d/sub/new", "N")
	u.wantOn("d/sub/new", 0)
	u.ok("rename of a directory on both tiers", u.rename("e", "d/e"))
	u.wantOn("d/e", 0, 1)
}

// TestParentsHaveNoOtherACL: what is made in a tier inherits the default ACL of
// the tier's root, by way of .tierfs. A user whom the model's ACL does not name
// got into the copy, and the copy on the primary decides.
func TestParentsHaveNoOtherACL(t *testing.T) {
	u := newUnion(t, 1, "create=primary")
	for rank := range u.Tiers {
		harness.Must(t, "setfacl", "-d", "-m", "u:1234:rwx", u.Tier(rank, ""))
	}
	u.dir("d", 1)
	harness.Must(t, "setfacl", "-b", u.Tier(1, "d"))
	harness.Chmod(t, u.Tier(1, "d"), 0o770)
	u.Up()
	u.create("d/f", "F")
	for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
		_, err := unix.Lgetxattr(u.Tier(0, "d"), name, nil)
		u.refuse(name, err, unix.ENODATA)
	}
	if st := harness.Stat(t, u.Tier(0, "d")); st.Mode&0o7777 != 0o770 {
		t.Errorf("mode %o", st.Mode)
	}
}
