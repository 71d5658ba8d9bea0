package cookbook

import (
	"strings"

	"github.com/tierfs/tierfs/tests/harness"
)

func encrypted(r *recipe) {
	harness.Require(r.t, "gocryptfs")
	r.disks("/srv/fast", "/srv/slow", "/srv/offsite")
	harness.Mkdir(r.t, "/srv/docs")
	r.put("/srv/fast/2025/offer", "/srv/fast/2025/contract", "/srv/slow/2019/invoice", "/srv/slow/2025/minutes")
	harness.Chown(r.t, "/srv/slow/2019/invoice", harness.UserA, harness.UserA)
	harness.Symlink(r.t, "../2019/invoice", "/srv/fast/2025/link")
	r.fstab()
	r.run("mount /srv/docs", "(umask 077", "gocryptfs -q -init")
	was := r.tree("/srv/docs")
	backup := r.blocks[:4]
	r.run("mkdir", "gocryptfs -q -reverse", "rsync", "umount")
	r.foreign("/srv/offsite/docs")

	// A file that has moved is the same, one that was changed is not.
	r.demote("/srv/docs/2025/offer")
	r.on("/srv/slow", "2025/offer", "/srv/fast")
	after := r.blocks
	r.blocks = backup
	r.run("mkdir", "gocryptfs -q -reverse")
	const again = "rsync -a --delete --out-format=%n /srv/cipher/ /srv/offsite/docs/"
	if sent, ok := r.try(again); !ok || sent != "" {
		r.t.Errorf("sent again, after a move: %v %s", ok, sent)
	}
	harness.Append(r.t, "/srv/docs/2025/offer", "changed\n")
	harness.Eventually(r.t, "the change is in the backup", func() bool {
		sent, ok := r.try(again)
		return ok && strings.Count(sent, "\n") == 1
	})
	r.run("rsync", "umount")
	r.blocks = after

	r.run("mkdir", "gocryptfs -q -ro", "diff")
	r.owner("/srv/restored/2019/invoice")
	for _, dir := range []string{"/srv/docs", "/srv/restored"} {
		harness.Must(r.t, "grep", "-q", "changed", dir+"/2025/offer")
	}
	lines := strings.Split(was, "\n")
	restored := r.tree("/srv/restored")
	for _, line := range lines {
		if !strings.Contains(line, "offer") && !strings.Contains(line, ".gocryptfs") && !strings.Contains(restored, line) {
			r.t.Errorf("not in what was restored: %s", line)
		}
	}
	r.run("umount")
}

// foreign wants nothing of the tree to be readable in its backup.
func (r *recipe) foreign(dir string) {
	r.t.Helper()
	if out, ok := r.try("grep -rlE '/srv/(fast|slow)' " + dir); ok {
		r.t.Errorf("plain text in the backup: %s", out)
	}
	names := harness.Must(r.t, "find", dir)
	if strings.Contains(names, "offer") || strings.Contains(names, "2019") || strings.Count(names, "\n") < 8 {
		r.t.Errorf("names in the backup: %s", names)
	}
}

func collected(r *recipe) {
	r.disks("/srv/fast", "/srv/slow", "/srv/offsite")
	r.put("/srv/fast/docs/2025/offer", "/srv/slow/docs/2019/invoice", "/srv/fast/mail/new", "/srv/slow/mail/old")
	harness.Mkdir(r.t, "/srv/docs")
	harness.Mkdir(r.t, "/srv/mail")
	r.fstab()
	check := r.blocks[2]
	r.run("mkdir", "mount -a", "findmnt", "findmnt", "rsync")
	for _, tree := range []string{"docs", "mail"} {
		r.same("the backup of "+tree, r.tree("/srv/offsite/all/"+tree), r.tree("/srv/"+tree))
	}
	if out, ok := r.try("touch /srv/all/docs/x"); ok {
		r.t.Errorf("written to what is to be read alone: %s", out)
	}
	r.try("umount /srv/all/docs")
	if _, ok := r.try(strings.TrimPrefix(check[0], "# ")); ok {
		r.t.Error("a backup of what is not mounted would begin")
	}
}
