package contract

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

const (
	userA = harness.UserA
	userB = harness.UserB
)

// usersMount is a mount whose directories belong to an ordinary user.
func usersMount(t *testing.T, opts ...string) *harness.Mount {
	t.Helper()
	harness.Require(t, "fusermount3")
	m := harness.New(t, 1, opts...)
	for _, dir := range append(m.Tiers, m.Dir) {
		harness.Chown(t, dir, userA, userA)
	}
	harness.Write(t, m.Fallbacks[0]+"/low", "l")
	return m
}

// as is a command of an ordinary user, with the environment of a login.
func as(uid int, args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}
	return cmd
}

func asUser(t *testing.T, uid int, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return harness.RunCmd(t, as(uid, args...))
}

func mustAs(t *testing.T, uid int, args ...string) string {
	t.Helper()
	stdout, stderr, code := asUser(t, uid, args...)
	if code != 0 {
		t.Fatalf("user %d: %q: exit code %d\n%s%s", uid, args, code, stdout, stderr)
	}
	return stdout
}

func TestUserMountsAndUnmountsByFstab(t *testing.T) {
	for _, c := range []struct {
		word   string
		umount []string
		by     int
	}{
		{"user", []string{"umount"}, userA},
		{"user", []string{"fusermount3", "-u"}, userA},
		{"users", []string{"umount"}, userA},
		{"user", []string{"umount"}, 0},
		{"user,exec,suid,dev", []string{"umount"}, userA},
	} {
		m := usersMount(t, "noauto", c.word)
		harness.Fstab(t, m.FstabLine())
		upBy(m, as(userA, "mount", m.Dir))
		wantFlags(m, c.word, fmt.Sprintf("user_id=%d default_permissions nosuid nodev", userA), "allow_other")
		if st := harness.Stat(t, fmt.Sprintf("/proc/%d", m.Pid())); st.Uid != userA && st.Uid != 0 {
			t.Errorf("daemon of user %d", st.Uid)
		}
		if got := mustAs(t, userA, "cat", m.Path("low")); got != "l" {
			t.Errorf("the user reads %q", got)
		}
		mustAs(t, userA, "sh", "-c", `echo x >"$1"`, "sh", m.Path("new"))
		if st := harness.Stat(t, m.Primary+"/new"); st.Uid != userA {
			t.Errorf("a new file belongs to user %d", st.Uid)
		}
		if _, _, code := asUser(t, userB, "ls", m.Dir); code == 0 {
			t.Error("another user can look into it")
		}
		args := append(slices.Clone(c.umount), m.Dir)
		if c.by == 0 {
			harness.Must(t, args...)
		} else {
			mustAs(t, c.by, args...)
		}
		m.Gone(0)
	}
}

func TestUserCannotUnmountAnothersMount(t *testing.T) {
	m := usersMount(t, "noauto", "user")
	harness.Fstab(t, m.FstabLine())
	upBy(m, as(userA, "mount", m.Dir))
	for _, args := range [][]string{{"umount", m.Dir}, {"fusermount3", "-u", m.Dir}} {
		if _, _, code := asUser(t, userB, args...); code == 0 {
			t.Errorf("%q: exit code 0", args)
		}
	}
	if len(harness.MountsAt(m.Dir)) != 1 {
		t.Error("the mount is gone")
	}
	mustAs(t, userA, "umount", m.Dir)
	m.Gone(0)
}

// mount(8) drops to the real user before it runs the helper.
func TestUserMountsAllOptionsOfFstabLines(t *testing.T) {
	for _, opts := range []string{"ro", "noatime", "sync", "dirsync", "nodiratime", "relatime", "strictatime", "lazytime", "nofail,_netdev", "create=primary,minfree=1M", "max_read=65536", "passthrough=auto", "acl", "noacl"} {
		m := usersMount(t, "noauto", "user", opts)
		harness.Fstab(t, m.FstabLine())
		upBy(m, as(userA, "mount", m.Dir))
		mustAs(t, userA, "cat", m.Path("low"))
		mustAs(t, userA, "umount", m.Dir)
		m.Gone(0)
	}
}

// TestUserIsToldWhatHasNoEffect: what only root's mounts have was left out
// without a word.
func TestUserIsToldWhatHasNoEffect(t *testing.T) {
	for opts, part := range map[string]string{
		"": "", "noacl,passthrough=auto": "",
		"acl,allow_suid,allow_dev,noforget,passthrough=on": "suid, dev, acl, noforget, passthrough=on: without effect",
	} {
		m := usersMount(t, "noauto", "user", opts)
		harness.Fstab(t, m.FstabLine())
		for _, args := range [][]string{{"mount", "-f", m.Dir}, {"mount", m.Dir}} {
			_, stderr, code := m.UpBy(as(userA, args...))
			if code != ok {
				t.Errorf("%q: exit code %d", args, code)
			}
			if part != "" {
				harness.Contains(t, stderr, "mount.tierfs: "+part)
			}
			if strings.Contains(stderr, "without effect") != (part != "") {
				t.Errorf("%q with %q: says %q", args, opts, stderr)
			}
		}
		mustAs(t, userA, "umount", m.Dir)
		m.Gone(0)
	}
}

func TestUserMountsByCallingTheHelper(t *testing.T) {
	m := usersMount(t)
	for _, args := range [][]string{
		helper(m.Primary, m.Dir, "-o", m.Options()),
		{harness.CLI, m.Primary, m.Dir, "-o", m.Options()},
	} {
		upBy(m, as(userA, args...))
		if got := mustAs(t, userA, "cat", m.Path("low")); got != "l" {
			t.Errorf("the user reads %q", got)
		}
		if st := harness.Stat(t, fmt.Sprintf("/proc/%d", m.Pid())); st.Uid != userA {
			t.Errorf("daemon of user %d", st.Uid)
		}
		line := harness.MountsAt(m.Dir)[0]
		if line.Source != m.Primary || line.FSType != "fuse.tierfs" {
			t.Errorf("source %q, type %q", line.Source, line.FSType)
		}
		mustAs(t, userA, "fusermount3", "-u", m.Dir)
		m.Gone(0)
	}
}

// autofs and some services give no PATH at all.
func TestUserMountsWithoutPath(t *testing.T) {
	m := usersMount(t)
	cmd := as(userA, helper(m.Primary, m.Dir, "-o", m.Options())...)
	cmd.Env = []string{}
	upBy(m, cmd)
	mustAs(t, userA, "cat", m.Path("low"))
	mustAs(t, userA, "fusermount3", "-u", m.Dir)
	m.Gone(0)
}

func TestUserMountWithOddNames(t *testing.T) {
	for _, kind := range []string{"space", "comma", "colon", "backslash", "newline", "utf-8", "not utf-8", "dash"} {
		t.Run(kind, func(t *testing.T) {
			harness.Require(t, "fusermount3")
			m := odd(t, oddNames[kind])
			for _, dir := range append(m.Tiers, m.Dir) {
				harness.Chown(t, dir, userA, userA)
			}
			upBy(m, as(userA, helper(m.Primary, m.Dir, "-o", m.Options())...))
			if got := mustAs(t, userA, "cat", m.Path("low")); got != "l" {
				t.Errorf("the user reads %q", got)
			}
			if got := harness.MountsAt(m.Dir)[0].Source; got != m.Primary {
				t.Errorf("source %q, want %q", got, m.Primary)
			}
			mustAs(t, userA, "fusermount3", "-u", m.Dir)
			m.Gone(0)
		})
	}
}

func TestUsersAllowOtherNeedsFuseConf(t *testing.T) {
	m := usersMount(t, "allow_other")
	m.Fallbacks = nil
	harness.Write(t, m.Primary+"/low", "l")
	cmd := func() *exec.Cmd { return as(userA, helper(m.Primary, m.Dir, "-o", m.Options())...) }
	_, stderr, code := m.UpBy(cmd())
	if code != failed {
		t.Errorf("exit code %d, want %d", code, failed)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ", "user_allow_other", "/etc/fuse.conf")
	m.None()

	harness.Write(t, "/etc/fuse.conf", "user_allow_other\n")
	t.Cleanup(func() { harness.Write(t, "/etc/fuse.conf", "") })
	upBy(m, cmd())
	if got := mustAs(t, userB, "cat", m.Path("low")); got != "l" {
		t.Errorf("another user reads %q", got)
	}
	mustAs(t, userA, "fusermount3", "-u", m.Dir)
	m.Gone(0)
}

func TestUserIsRefusedWithOneLine(t *testing.T) {
	m := usersMount(t)
	foreign := harness.New(t, 0)
	for _, c := range []struct {
		args []string
		code int
		part string
	}{
		{helper(m.Primary, foreign.Dir), failed, foreign.Dir},                                  // a mount point of root's
		{helper(m.Primary, m.Dir, "-o", "fallback="+foreign.Primary), failed, foreign.Primary}, // one that takes no mark
		{helper(m.Primary, m.Dir, "-o", "nosymfollow"), failed, "nosymfollow"},                 // fusermount3 would drop it
		{helper("-N", "/proc/1/ns/mnt", m.Primary, m.Dir), failed, "namespace"},                // a namespace of root's
		{helper(m.Primary, m.Dir, "-o", "log=/proc/version-x"), usage, "/proc/version-x"},      // a log that cannot be made
		{helper(m.Primary, m.Dir, "-o", "nosuch"), usage, "nosuch"},
	} {
		_, stderr, code := m.UpBy(as(userA, c.args...))
		if code != c.code {
			t.Errorf("%q: exit code %d, want %d: %s", c.args, code, c.code, stderr)
		}
		harness.OneLine(t, stderr, "mount.tierfs: ", c.part)
		m.None()
		harness.NotMounted(t, foreign.Dir)
	}
}

func TestTierThatTheUserMayNotReadIsRefused(t *testing.T) {
	m := usersMount(t)
	closed := harness.TempDir(t)
	harness.Chmod(t, closed, 0o700)
	for _, args := range [][]string{
		helper(closed, m.Dir), helper("-f", closed, m.Dir), helper(m.Primary, m.Dir, "-o", "fallback="+closed),
	} {
		_, stderr, code := m.UpBy(as(userA, args...))
		if code != failed {
			t.Errorf("%q: exit code %d, want %d", args, code, failed)
		}
		harness.OneLine(t, stderr, "mount.tierfs: ", closed, "permission denied")
		m.None()
	}
}

func TestUserWithoutFusermountIsToldSo(t *testing.T) {
	m := usersMount(t)
	path := strings.TrimSpace(harness.Must(t, "sh", "-c", "command -v fusermount3"))
	_, stderr, code := harness.Run(t, "unshare", "-m", "--propagation", "private", "sh", "-c",
		`mount --bind /dev/null "$(readlink -f "$1")" && shift && exec setpriv --reuid 54321 --regid 54321 --clear-groups "$@"`,
		"sh", path, harness.Helper, m.Primary, m.Dir)
	if code != failed {
		t.Errorf("exit code %d, want %d", code, failed)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ", "fusermount3")
	m.None()
}

func TestUserRemountsHisOwn(t *testing.T) {
	m := usersMount(t)
	runtime := harness.TempDir(t)
	harness.Chown(t, runtime, userA, userA)
	cmd := as(userA, helper(m.Primary, m.Dir, "-o", m.Options())...)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+runtime)
	upBy(m, cmd)
	cmd = as(userA, helper(m.Primary, m.Dir, "-o", "remount,attr_timeout=9")...)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+runtime)
	if _, stderr, code := harness.RunCmd(t, cmd); code != ok {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	// What the kernel refuses him, the daemon must not have taken.
	cmd = as(userA, helper(m.Primary, m.Dir, "-o", "remount,sync,attr_timeout=7")...)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+runtime)
	_, stderr, code := harness.RunCmd(t, cmd)
	if code != failed {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	harness.OneLine(t, stderr, "mount.tierfs: ", "only root may change flags")
	cmd = as(userA, harness.CLI, "status", m.Dir)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+runtime)
	stdout, _, _ := harness.RunCmd(t, cmd)
	harness.Contains(t, stdout, "attr_timeout=9")
	harness.Contains(t, stdout, "sync=off")
	mustAs(t, userA, "fusermount3", "-u", m.Dir)
	m.Gone(0)
	harness.WantList(t, runtime+"/tierfs")
}
