package cookbook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func rclone(r *recipe) {
	harness.Require(r.t, "rclone")
	r.disks("/srv/fast")
	harness.Mkdir(r.t, "/srv/docs")
	harness.Append(r.t, "/etc/hosts", "127.0.0.1 storage\n")
	store := &objectStore{objects: map[string]*object{}}
	store.serve(r.t)
	r.t.Cleanup(func() { store.stop() })
	r.put("/srv/fast/2025/dump", "/srv/fast/2025/late", "/srv/fast/2025/open", "/srv/fast/2025/mine", "/srv/fast/2025/marked")
	for _, name := range []string{"dump", "late", "mine", "marked"} {
		harness.Chmod(r.t, "/srv/fast/2025/"+name, 0o600)
	}
	harness.Chown(r.t, "/srv/fast/2025/mine", harness.UserA, harness.UserA)
	harness.Must(r.t, "setfacl", "-m", "u:"+harness.UserBName+":r", "/srv/fast/2025/marked")
	r.age(1, "/srv/fast/2025/dump", "/srv/fast/2025/late")

	harness.Write(r.t, "/etc/rclone.conf", r.text())
	r.run("chmod", "ln -s", "rclone", "mkdir")
	r.fstab()
	r.run("mount /srv/remote", "mount /srv/docs")
	harness.Contains(r.t, r.run("tierfs status"), "/srv/remote")

	was := r.tree("/srv/docs")
	time.Sleep(1100 * time.Millisecond)
	out, _ := r.try("tierfs demote --older-than 1s /srv/docs/2025/dump /srv/docs/2025/open /srv/docs/2025/mine /srv/docs/2025/marked")
	harness.Contains(r.t, out, "moved 1 file", "3 stay: the other tier cannot hold its owner, mode, extended attributes or ACL")
	r.on("/srv/remote", "2025/dump", "/srv/fast")
	for _, name := range []string{"open", "mine", "marked"} {
		r.on("/srv/fast", "2025/"+name, "/srv/remote")
	}
	r.same("the tree", r.tree("/srv/docs"), was)
	r.stored(store, "2025/dump")
	r.user(false, "cat /srv/docs/2025/dump")
	r.user(false, "ls /srv/remote")
	harness.Append(r.t, "/srv/docs/2025/dump", "more\n")
	r.put("/srv/docs/2025/new")
	r.on("/srv/fast", "2025/new", "/srv/remote")
	r.stored(store, "2025/dump")

	// A renamed directory that only the storage has is the same one still, and rclone
	// has forgotten it.
	harness.Mkdir(r.t, "/srv/remote/far/was")
	for _, command := range []string{"mv /srv/docs/far/was /srv/docs/far/is", "mkdir /srv/docs/far/is/sub /srv/docs/far/was", "rmdir /srv/docs/far/is/sub"} {
		if out, ok := r.try(command); !ok {
			r.t.Errorf("%s: %s", command, out)
		}
	}
	harness.WantList(r.t, "/srv/docs/far", "is", "was")

	// It comes back, and goes again.
	time.Sleep(1100 * time.Millisecond)
	if out, ok := r.try("tierfs promote --older-than 1s /srv/docs/2025/dump"); !ok {
		r.t.Errorf("promote: %s", out)
	}
	r.on("/srv/fast", "2025/dump", "/srv/remote")
	r.demote("/srv/docs/2025/dump")
	r.stored(store, "2025/dump")

	// rclone dies, with a file that has not been sent.
	r.demote("/srv/docs/2025/late")
	late := harness.Read(r.t, "/srv/docs/2025/late")
	killRclone(r.t)
	for _, command := range []string{"cat /srv/docs/2025/dump", "ls /srv/docs/2025", "touch /srv/docs/2025/other"} {
		r.away(command)
	}
	if out, ok := r.try("cat /srv/docs/2025/open && echo more >>/srv/docs/2025/open"); !ok {
		r.t.Errorf("what is on the primary, meanwhile: %s", out)
	}
	r.run("umount", "umount -l", "mount /srv/remote", "mount /srv/docs")
	harness.Eventually(r.t, "all files are back", func() bool { _, ok := r.try("cat /srv/docs/2025/*"); return ok })
	r.stored(store, "2025/dump")
	r.stored(store, "2025/late")

	// Nothing but the storage is needed for what has moved, and that it answers.
	was = r.tree("/srv/docs")
	r.emptyCache()
	r.same("the tree", r.tree("/srv/docs"), was)
	harness.WantRead(r.t, "/srv/docs/2025/late", late)
	r.emptyCache()
	store.stop()
	for _, command := range []string{"cat /srv/docs/2025/dump", "ls /srv/docs/2025"} {
		r.away(command)
	}
	if out, ok := r.try("cat /srv/docs/2025/open"); !ok {
		r.t.Errorf("what is on the primary, without the storage: %s", out)
	}
	store.serve(r.t)
	if !harness.Within(2*time.Minute, func() bool { _, ok := r.try("cat /srv/docs/2025/dump"); return ok }) {
		r.t.Error("the storage does not come back within two minutes")
	}
}

// emptyCache mounts both anew, without what rclone has in its cache.
func (r *recipe) emptyCache() {
	r.t.Helper()
	r.try("umount /srv/docs")
	harness.Eventually(r.t, "rclone's mount is let go", func() bool { _, ok := r.try("umount /srv/remote"); return ok })
	if out, ok := r.try("rm -r /srv/cache/* && mount /srv/remote && mount /srv/docs"); !ok {
		r.t.Fatalf("with an empty cache: %s", out)
	}
}

// away wants a command to fail because a tier does not answer.
func (r *recipe) away(command string) {
	r.t.Helper()
	if out, ok := r.try(command); ok || !strings.Contains(out, "Input/output error") {
		r.t.Errorf("%s, without the fallback: %s", command, out)
	}
}

// stored wants a file to become an object of the same content.
func (r *recipe) stored(store *objectStore, rel string) {
	r.t.Helper()
	want := harness.Read(r.t, "/srv/docs/"+rel)
	if !harness.Within(time.Minute, func() bool { got, ok := store.content("backup/" + rel); return ok && got == want }) {
		r.t.Errorf("%s is not in the storage, which has %q", rel, store.keys())
	}
}

// killRclone kills it, in the test's own PID namespace.
func killRclone(t *testing.T) {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		text, _ := os.ReadFile(path)
		var pid int
		if fmt.Sscanf(path, "/proc/%d/", &pid); strings.HasPrefix(string(text), "/usr/bin/rclone\x00mount\x00") {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("rclone does not run")
}
