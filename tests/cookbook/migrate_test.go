package cookbook

import (
	"github.com/tierfs/tierfs/tests/harness"
)

func fromLinks(r *recipe) {
	r.disks("/srv/docs", "/srv/slow")
	r.put("/srv/docs/2025/offer", "/srv/slow/2019/my invoice", "/srv/slow/2025/minutes", "/srv/slow/2018/a", "/srv/slow/elsewhere/b")
	harness.Mkdir(r.t, "/srv/docs/2019")
	harness.Symlink(r.t, "/srv/slow/2019/my invoice", "/srv/docs/2019/my invoice")
	harness.Symlink(r.t, "../../slow/2025/minutes", "/srv/docs/2025/minutes")
	harness.Symlink(r.t, "/srv/slow/2018", "/srv/docs/2018")
	harness.Symlink(r.t, "/srv/slow/elsewhere/b", "/srv/docs/2025/b")
	harness.Symlink(r.t, "/srv/slow/gone", "/srv/docs/gone")
	harness.Symlink(r.t, "offer", "/srv/docs/2025/same")
	was := readings(r)
	r.run("cd /srv/docs && find")
	harness.WantRead(r.t, "/root/links", harness.Must(r.t, "/bin/sh", "-c",
		`cd /srv/docs && find . -name 'my invoice' -o -name minutes -o -name 2018`))
	r.run("cd /srv/docs && find")
	r.fstab()
	r.run("mount /srv/docs", "cd /srv/docs && xargs", "tierfs check")
	r.same("what is read", readings(r), was)
	for _, path := range []string{"/srv/docs/2019/my invoice", "/srv/docs/2025/minutes", "/srv/docs/2018/a"} {
		if out, ok := r.try("test -f '" + path + "' -a ! -L '" + path + "'"); !ok {
			r.t.Errorf("%s is no file: %s", path, out)
		}
	}
	r.on("/srv/docs", "2025/same")
	r.on("/srv/docs", "2025/b")
}

// readings is what programs read under each name that was there from the start.
func readings(r *recipe) string {
	r.t.Helper()
	return harness.Must(r.t, "/bin/sh", "-c", "cd /srv/docs && sha256sum 2025/offer '2019/my invoice' 2025/minutes 2018/a 2025/b 2025/same")
}

func fromMergerfs(r *recipe) {
	harness.Require(r.t, "mergerfs")
	r.disks("/srv/fast", "/srv/slow")
	harness.Mkdir(r.t, "/srv/docs")
	harness.Write(r.t, "/etc/fstab", "/srv/fast:/srv/slow /srv/docs fuse.mergerfs allow_other,use_ino,minfreespace=0,category.create=epff 0 0\n")
	r.put("/srv/fast/2025/offer", "/srv/slow/2019/invoice", "/srv/slow/2025/minutes")
	if out, ok := r.try("mount /srv/docs"); !ok {
		r.t.Fatal(out)
	}
	r.put("/srv/docs/2019/new", "/srv/docs/2025/new")
	harness.Chown(r.t, "/srv/docs/2019/new", harness.UserA, harness.UserA)
	was := r.tree("/srv/docs")
	r.run("umount")
	r.fstab()
	r.run("mount /srv/docs", "tierfs check")
	r.same("the tree", r.tree("/srv/docs"), was)
	r.put("/srv/docs/2019/newer", "/srv/docs/2025/newer")
	r.on("/srv/slow", "2019/new", "/srv/fast")
	r.on("/srv/slow", "2019/newer", "/srv/fast")
	r.on("/srv/fast", "2025/newer", "/srv/slow")
	r.demote("/srv/docs/2025/offer")
	r.on("/srv/slow", "2025/offer", "/srv/fast")
}
