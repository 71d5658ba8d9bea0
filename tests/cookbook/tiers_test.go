package cookbook

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

const waitToMove = 61 * time.Second // the mover leaves alone what was changed within a minute

func overPath(r *recipe) {
	r.disks("/srv/home", "/srv/oldhome")
	r.put("/srv/home/ann/new", "/srv/oldhome/ann/old")
	before, err := os.Open("/srv/home/ann/new")
	if err != nil {
		r.t.Fatal(err)
	}
	r.fstab()
	r.run("mount -f")
	if len(r.served) != 0 {
		r.t.Fatal("mounted")
	}
	r.run("mount /srv/home")
	harness.WantList(r.t, "/srv/home/ann", "new", "old")
	if n, err := before.Read(make([]byte, 8)); n != 8 {
		r.t.Errorf("what was open before: %v", err)
	}
	before.Close() // an open file does not move
	r.demote("/srv/home/ann/new")
	r.on("/srv/oldhome", "ann/new")
	harness.WantRead(r.t, "/srv/home/ann/new", "/srv/home/ann/new\n")
	r.run("mount --bind")
	r.run("ls")
	harness.WantList(r.t, "/mnt", "home", "oldhome")
	r.run("umount")
}

func overDisk(r *recipe) {
	r.disks("/srv/slow")
	image := filepath.Join(harness.TempDir(r.t), "image")
	harness.Must(r.t, "truncate", "-s", "64M", image)
	harness.Must(r.t, "mkfs.ext4", "-q", "-F", image)
	loop := strings.TrimSpace(harness.Must(r.t, "losetup", "-f", "--show", image))
	r.t.Cleanup(func() { harness.Must(r.t, "losetup", "-d", loop) })
	if err := unix.Mknod("/dev/sdb1", unix.S_IFBLK|0o600, int(harness.Stat(r.t, loop).Rdev)); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { harness.Remove(r.t, "/dev/sdb1") })
	harness.Write(r.t, "/etc/fstab", "/dev/sdb1 /srv/docs ext4 defaults 0 2\n")
	harness.Mkdir(r.t, "/srv/docs")
	if out, ok := r.try("mount /srv/docs"); !ok {
		r.t.Fatal(out)
	}
	r.put("/srv/docs/2025/offer", "/srv/docs/2019/invoice")
	was := r.tree("/srv/docs")
	r.run("umount", "mkdir")
	r.fstab()
	r.run("mount /srv/fast", "mount /srv/docs")
	r.same("/srv/docs", r.tree("/srv/docs"), was)
	r.demote("/srv/docs/2019")
	r.on("/srv/slow", "2019/invoice", "/srv/fast")
	r.same("/srv/docs", r.tree("/srv/docs"), was)
}

func threeTiers(r *recipe) {
	r.disks("/srv/fast", "/srv/slow", "/srv/archive")
	harness.Mkdir(r.t, "/srv/docs")
	r.put("/srv/fast/new", "/srv/fast/old", "/srv/slow/recent", "/srv/slow/older")
	age := func() {
		r.age(1000, "/srv/fast/old", "/srv/slow/older")
		r.age(100, "/srv/slow/recent")
	}
	age()
	r.fstab()
	r.run("mount /srv/docs")
	was := r.tree("/srv/docs")
	age() // what was read is young
	r.fstab()
	r.run("mount -o remount")
	r.served[0].Adopt() // it holds what the new tier needs too
	time.Sleep(waitToMove)
	harness.Contains(r.t, r.run("tierfs demote --dry-run"), "/srv/docs/old,", "/srv/docs/older,")
	r.on("/srv/slow", "older", "/srv/archive")
	r.run("tierfs demote")
	r.on("/srv/fast", "new", "/srv/slow", "/srv/archive")
	r.on("/srv/slow", "old", "/srv/fast", "/srv/archive")
	r.on("/srv/slow", "recent", "/srv/fast", "/srv/archive")
	r.on("/srv/archive", "older", "/srv/fast", "/srv/slow")
	r.same("/srv/docs", r.tree("/srv/docs"), was)
}

// The share itself is what tests/samba serves and uses. What systemd makes of the
// drop-in is seen where it is booted, in tests/system.
func sambaShare(r *recipe) {
	r.disks("/srv/fast", "/srv/slow")
	harness.Mkdir(r.t, "/srv/docs")
	r.text()
	r.fstab()
	r.run("mount /srv/docs")
	if got, want := r.text(), "[Unit]\nRequiresMountsFor="+r.served[0].Dir+"\n"; got != want {
		r.t.Errorf("the drop-in of smbd is %q, want %q", got, want)
	}
	r.pass("systemctl daemon-reload")
}
