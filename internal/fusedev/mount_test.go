package fusedev

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHelperOptionsAreThoseOfFusermount3(t *testing.T) {
	for _, c := range []struct {
		mount Mount
		want  string
	}{
		{Mount{Source: "/srv/fast", Subtype: "tierfs"},
			"fsname=/srv/fast,subtype=tierfs,default_permissions"},
		{Mount{Source: `/a,b\c=d e`, Subtype: "tierfs", AllowOther: true, MaxRead: 4096},
			`fsname=/a\,b\\c=d e,subtype=tierfs,default_permissions,allow_other,max_read=4096`},
		{Mount{Source: "x", Subtype: "tierfs", Flags: unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_SYNCHRONOUS | unix.MS_DIRSYNC | unix.MS_NOATIME},
			"fsname=x,subtype=tierfs,default_permissions,ro,nosuid,nodev,noexec,sync,dirsync,noatime"},
		{Mount{Source: "x", Subtype: "tierfs", Flags: unix.MS_RELATIME | unix.MS_LAZYTIME | unix.MS_NODIRATIME | unix.MS_STRICTATIME},
			"fsname=x,subtype=tierfs,default_permissions"},
	} {
		if got, err := c.mount.helperOptions(); err != nil || got != c.want {
			t.Errorf("%+v\n got %s, %v\nwant %s", c.mount, got, err, c.want)
		}
	}
	if _, err := (Mount{Flags: unix.MS_NOSYMFOLLOW}).helperOptions(); err == nil {
		t.Error("nosymfollow was dropped")
	}
}

func TestDataHasOnlyTheKernelsWords(t *testing.T) {
	m := Mount{Source: "a", Dir: "b", Subtype: "tierfs", AllowOther: true, MaxRead: 8192, Data: []string{`context="u:o:r:s0:c1,c2"`}}
	got := m.data(7)
	for _, want := range []string{"fd=7,rootmode=40000,user_id=", ",default_permissions,allow_other,max_read=8192,", `,context="u:o:r:s0:c1,c2"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s: no %s", got, want)
		}
	}
	if got := (Mount{}).data(3); strings.Contains(got, "allow_other") || strings.Contains(got, "max_read") {
		t.Errorf("got %s", got)
	}
}

func TestMissingDeviceSaysWhatToDo(t *testing.T) {
	old := devFuse
	defer func() { devFuse = old }()
	devFuse = filepath.Join(t.TempDir(), "fuse")
	_, err := Mount{Source: "a", Dir: "/b", Subtype: "tierfs"}.Open()
	var device *DeviceError
	if !errors.As(err, &device) || !strings.HasSuffix(err.Error(), "no such device; load the fuse module (modprobe fuse)") {
		t.Errorf("got %v", err)
	}
}

// fakeFusermount puts a script named fusermount3 first in PATH.
func fakeFusermount(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/fusermount3", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestFusermountErrorsAreOneLine(t *testing.T) {
	for script, want := range map[string]string{
		"echo \"fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf\" >&2; exit 1": "option allow_other: not allowed for ordinary users; add user_allow_other to /etc/fuse.conf, or leave it out",
		"echo 'fusermount3: one' >&2; echo two >&2; exit 1":                                                                "fusermount3: one",
		"exit 3": "fusermount3: exit status 3",
	} {
		fakeFusermount(t, script)
		err := fusermount(nil, "-u", "--", "/x")
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", script, err, want)
		}
	}
}

func TestDescriptorIsReceivedFromFusermount(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3")
	}
	fakeFusermount(t, `[ "$1 $2 $3 $4" = "-o fsname=a\,b,subtype=tierfs,default_permissions -- /mnt/x" ] || exit 9
exec python3 -c 'import array, os, socket
s = socket.socket(fileno=int(os.environ["_FUSE_COMMFD"]))
fd = os.open("/dev/zero", os.O_RDWR | os.O_NONBLOCK)
s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])'
`)
	fd, err := Mount{Source: "a,b", Dir: "/mnt/x", Subtype: "tierfs"}.openByHelper()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if name, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); name != "/dev/zero" {
		t.Errorf("got %s", name)
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("open across exec")
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK != 0 {
		t.Error("not blocking")
	}
}

func TestFusermountWithoutDescriptorIsAnError(t *testing.T) {
	fakeFusermount(t, "exit 0")
	if _, err := (Mount{Source: "a", Dir: "/x", Subtype: "tierfs"}).openByHelper(); err == nil {
		t.Error("no error")
	}
}

func TestUnmountReportsTheErrno(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if err := Unmount(t.TempDir(), false); err != unix.EINVAL {
		t.Errorf("not a mount point: %v", err)
	}
	if err := Unmount(filepath.Join(t.TempDir(), "none"), true); err != unix.ENOENT {
		t.Errorf("nothing there: %v", err)
	}
}
