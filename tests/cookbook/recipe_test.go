package cookbook

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// recipe is a section of the document, and how far it has been followed.
type recipe struct {
	t      *testing.T
	blocks [][]string       // what is still to be done
	seen   []string         // the IDs of the mounts that somebody takes care of
	served []*harness.Mount // those of tierfs that are up
}

// disks mounts an empty disk at each directory, in a new and otherwise empty /srv.
// /root and /mnt are new as well.
func (r *recipe) disks(dirs ...string) {
	r.t.Helper()
	harness.Require(r.t, "root", "fuse", "rsync")
	for _, dir := range []string{"/srv", "/root", "/mnt"} {
		harness.Must(r.t, "mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", dir)
	}
	r.adopt()
	for _, dir := range dirs {
		disk := harness.On(r.t, "ext4", "64M")
		r.seen = mountIDs() // On takes care of its own
		harness.Mkdir(r.t, dir)
		harness.Must(r.t, "mount", "--bind", disk, dir)
		r.adopt()
	}
	r.t.Cleanup(func() { harness.Write(r.t, "/etc/fstab", "") })
}

// fstab makes the next lines of the recipe those of /etc/fstab.
func (r *recipe) fstab() {
	r.t.Helper()
	harness.Write(r.t, "/etc/fstab", r.text())
}

// text is the next block, which is no command.
func (r *recipe) text() string {
	r.t.Helper()
	if !r.left() || isCommand(r.blocks[0][0]) {
		r.t.Fatalf("want lines of a file, the recipe goes on with %q", r.blocks)
	}
	lines := r.blocks[0]
	r.blocks = r.blocks[1:]
	return strings.Join(lines, "\n") + "\n"
}

// run runs the next commands of the recipe, which begin with these words, and have
// to succeed. It returns what the last one printed.
func (r *recipe) run(commands ...string) (out string) {
	r.t.Helper()
	for _, words := range commands {
		if !r.left() || !strings.HasPrefix(r.blocks[0][0], "# "+words) {
			r.t.Fatalf("want the command %q, the recipe goes on with %q", words, r.blocks)
		}
		command := strings.TrimPrefix(r.blocks[0][0], "# ")
		r.blocks = r.blocks[1:]
		var ok bool
		if out, ok = r.try(command); !ok {
			r.t.Fatalf("%s\n%s", command, out)
		}
	}
	return out
}

// pass goes over a command that there is nobody to obey.
func (r *recipe) pass(command string) {
	r.t.Helper()
	if !r.left() || r.blocks[0][0] != "# "+command {
		r.t.Fatalf("want the command %q, the recipe goes on with %q", command, r.blocks)
	}
	r.blocks = r.blocks[1:]
}

// try runs a command of the test's own in the same way.
func (r *recipe) try(command string) (out string, ok bool) {
	r.t.Helper()
	// A file, since what goes to the background may keep it open.
	file, err := os.CreateTemp(harness.TempDir(r.t), "")
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = file, file
	_, _, code := harness.RunCmd(r.t, cmd)
	r.adopt()
	return harness.Read(r.t, file.Name()), code == 0
}

func (r *recipe) left() bool { return len(r.blocks) > 0 }

// adopt takes care of what has been mounted: it is unmounted at the end, the
// newest first, unless the recipe does it itself. Daemons have to end well.
func (r *recipe) adopt() {
	r.t.Helper()
	r.served = slices.DeleteFunc(r.served, func(m *harness.Mount) bool {
		up := slices.ContainsFunc(harness.MountsAt(m.Dir), isTierfs)
		if !up {
			m.Gone(0)
		}
		return !up
	})
	for _, line := range harness.Mountinfo() {
		if slices.Contains(r.seen, line.ID) {
			continue
		}
		if isTierfs(line) && !r.serves(line) {
			m := &harness.Mount{T: r.t, Dir: line.Dir}
			m.Adopt()
			r.served = append(r.served, m)
			continue
		}
		r.t.Cleanup(func() {
			if slices.Contains(mountIDs(), line.ID) {
				harness.Must(r.t, "umount", line.Dir)
			}
		})
	}
	r.seen = mountIDs()
}

// serves reports whether a line is a bind mount of one that is up.
func (r *recipe) serves(line harness.MountLine) bool {
	return slices.ContainsFunc(r.served, func(m *harness.Mount) bool {
		return slices.ContainsFunc(harness.MountsAt(m.Dir), func(l harness.MountLine) bool { return l.Dev == line.Dev })
	})
}

func isTierfs(line harness.MountLine) bool { return line.FSType == "fuse.tierfs" }

func mountIDs() (ids []string) {
	for _, line := range harness.Mountinfo() {
		ids = append(ids, line.ID)
	}
	return ids
}

// put writes files whose content is their own path, a little of it and a lot. Their
// directories are made.
func (r *recipe) put(paths ...string) {
	r.t.Helper()
	for i, path := range paths {
		harness.Mkdir(r.t, filepath.Dir(path))
		harness.Write(r.t, path, strings.Repeat(path+"\n", 1+i*2000))
	}
}

// age sets back the times of files by some days, to the second.
func (r *recipe) age(days int, paths ...string) {
	r.t.Helper()
	then := time.Now().AddDate(0, 0, -days).Truncate(24 * time.Hour)
	for _, path := range paths {
		if err := os.Chtimes(path, then, then); err != nil {
			r.t.Fatal(err)
		}
	}
}

// demote moves what is there one tier down. A file may move a second after its
// last change then.
func (r *recipe) demote(path string) {
	r.t.Helper()
	time.Sleep(1100 * time.Millisecond)
	if out, ok := r.try("tierfs demote --older-than 1s " + path); !ok {
		r.t.Fatalf("demote %s: %s", path, out)
	}
}

// on wants a file to be in a directory, and not in the others.
func (r *recipe) on(dir, rel string, others ...string) {
	r.t.Helper()
	if !harness.Exists(r.t, filepath.Join(dir, rel)) {
		r.t.Errorf("%s is not in %s", rel, dir)
	}
	for _, other := range others {
		if harness.Exists(r.t, filepath.Join(other, rel)) {
			r.t.Errorf("%s is in %s", rel, other)
		}
	}
}

// tree is each name below a directory, with its type, mode, owner, size, time of
// modification and checksum; without those of directories, which tiers share, and
// times and sizes of symbolic links, which gocryptfs does not always tell alike.
func (r *recipe) tree(dir string) string {
	r.t.Helper()
	return harness.Must(r.t, "/bin/sh", "-c", `cd "$1" && find . ! -path ./.tierfs ! -path './.tierfs/*' ! -name lost+found \
		\( -type d -printf '%p d %m %u\n' -o -type l -printf '%p l %u %g %l\n' -o -printf '%p %y %m %u %g %s %T@\n' \) | sort &&
		find . -type f ! -path './.tierfs/*' -exec sha256sum {} + | sort`, "sh", dir)
}

// same wants two trees to be the same.
func (r *recipe) same(what, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s is not what it was:\n%s\nwant\n%s", what, got, want)
	}
}

// user wants an ordinary user to be able to run a command, or not.
func (r *recipe) user(may bool, command string) {
	r.t.Helper()
	out, errs, code := harness.AsUser(r.t, harness.UserA, harness.UserA, nil, "/bin/sh", "-c", command)
	if (code == 0) != may {
		r.t.Errorf("an ordinary user, %s: exit code %d\n%s%s", command, code, out, errs)
	}
}

// owner wants a file to belong to the ordinary user.
func (r *recipe) owner(path string) {
	r.t.Helper()
	if st := harness.Stat(r.t, path); st.Uid != harness.UserA || st.Mode&unix.S_IFMT != unix.S_IFREG {
		r.t.Errorf("%s: owner %d, mode %o", path, st.Uid, st.Mode)
	}
}
