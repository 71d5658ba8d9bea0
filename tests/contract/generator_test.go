package contract

import (
	"os"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// systemd runs the command by another name, with three directories, and takes
// what is in the first. tests/system boots with it.
func TestGeneratorWritesDropInsForFstab(t *testing.T) {
	const generator = "/sbin/tierfs-generator"
	harness.Symlink(t, "mount.tierfs", generator)
	t.Cleanup(func() { harness.Remove(t, generator) })
	harness.Fstab(t, "/dev/sda1 / ext4 defaults 0 1", "/srv/a /srv/bad fuse.tierfs demote=soon 0 0",
		`/srv/my\040fast /srv/docs fuse.tierfs fallback=/srv/slow,nofail 0 0`)
	normal, early, late := t.TempDir(), t.TempDir(), t.TempDir()

	stdout, stderr, code := harness.Run(t, generator, normal, early, late)
	if stdout != "" || code != 0 {
		t.Errorf("exit code %d, said %q", code, stdout)
	}
	harness.OneLine(t, stderr, `tierfs-generator: /etc/fstab: line of "/srv/bad" ignored: `, "demote")

	text, err := os.ReadFile(normal + "/srv-docs.mount.d/50-tierfs.conf")
	if err != nil {
		t.Fatal(err)
	}
	harness.Contains(t, string(text), "[Unit]\nRequiresMountsFor=\"/srv/my fast\"\nRequiresMountsFor=\"/srv/slow\"\n")
	for dir, want := range map[string]int{normal: 1, early: 0, late: 0} {
		if names, err := os.ReadDir(dir); err != nil || len(names) != want {
			t.Errorf("%s: %v, %v, want %d", dir, names, err, want)
		}
	}

	_, stderr, code = harness.Run(t, generator)
	if code == 0 {
		t.Error("succeeds without a directory")
	}
	harness.OneLine(t, stderr, "tierfs-generator: want the directory")
}
