package harness

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Installed names, as a package lays them out.
const (
	Helper     = "/sbin/mount.tierfs"
	FuseHelper = "/sbin/mount.fuse.tierfs"
	// CLI is in sbin here because /bin is the host's; mount.fuse3 finds it in
	// the PATH that sh falls back to.
	CLI = "/sbin/tierfs"
)

// install builds the binary (or takes the one that TIERFS_BIN names) and puts
// it where mount(8) looks. It is a copy, so that ordinary users reach it
// wherever the source tree lies.
func install() error {
	bin := os.Getenv("TIERFS_BIN")
	if bin == "" {
		bin = filepath.Join(base, "mount.tierfs")
		if err := build(bin); err != nil {
			return err
		}
	}
	if err := copyFile(bin, Helper, 0o755); err != nil {
		return err
	}
	for _, link := range []string{FuseHelper, CLI} {
		os.Remove(link)
		if err := os.Symlink("mount.tierfs", link); err != nil {
			return err
		}
	}
	return nil
}

// WithoutFuseHelper takes /sbin/mount.fuse.tierfs away until the test ends:
// mount(8) then calls /sbin/mount.fuse, which libfuse brings.
func WithoutFuseHelper(t testing.TB) {
	t.Helper()
	Remove(t, FuseHelper)
	t.Cleanup(func() { Symlink(t, "mount.tierfs", FuseHelper) })
}

// Build builds a binary of the test's own, with build flags such as -tags.
func Build(t testing.TB, bin string, flags ...string) {
	t.Helper()
	if err := build(bin, flags...); err != nil {
		t.Fatal(err)
	}
}

func build(bin string, flags ...string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	args := append([]string{"build", "-buildvcs=false", "-o", bin}, flags...)
	cmd := exec.Command("go", append(args, "./mount.tierfs")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./mount.tierfs: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// moduleRoot is the nearest directory upwards with a go.mod: go test runs a
// test binary in its package's directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("no go.mod above the working directory: set TIERFS_BIN to the built binary")
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	os.Remove(to)
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
