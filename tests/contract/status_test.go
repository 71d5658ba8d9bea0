package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/tests/harness"
)

// TestEveryCommandShowsItsUsage: who asks how to call a command is answered on
// standard output, not told that -h is unknown.
func TestEveryCommandShowsItsUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"status":  {harness.CLI, "status"},
		"json":    {harness.CLI, "status", "--json"},
		"adopt":   {harness.CLI, "adopt"},
		"replace": {harness.CLI, "adopt", "--replace", "/a"},
		"version": {harness.CLI, "version"},
		"help":    {harness.CLI, "help"},
		"helper":  {harness.Helper},
		"mount":   {harness.Helper, "/a", "/b"},
	} {
		for _, flag := range []string{"-h", "--help"} {
			stdout, stderr, code := harness.Run(t, append(args, flag)...)
			if code != 0 || stderr != "" {
				t.Errorf("%s %s: exit code %d, standard error %q", name, flag, code, stderr)
			}
			want := "usage: mount.tierfs PRIMARY"
			if args[0] == harness.CLI {
				want = "usage: tierfs " + args[1]
			}
			harness.Contains(t, stdout, want)
		}
	}
	_, stderr, code := harness.Run(t, harness.CLI, "status", "--jsn")
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	harness.OneLine(t, stderr, "--jsn", "unknown flag", "tierfs status --help")
}

// TestStoppedDaemonHoldsUpNoStatus: one daemon was stopped, and the status of
// all mounts hung with it.
func TestStoppedDaemonHoldsUpNoStatus(t *testing.T) {
	stopped, other := harness.New(t, 0, "attr_timeout=0"), harness.New(t, 0)
	stopped.Up()
	other.Up()
	pid := stopped.Pid()
	stopped.Stop()
	silent := fmt.Sprintf("mount %q: daemon %d does not answer", stopped.Dir, pid)
	for _, dirs := range [][]string{nil, {stopped.Dir}, {stopped.Dir, other.Dir}} {
		stdout, stderr, code := harness.Run(t, append([]string{harness.CLI, "status"}, dirs...)...)
		if code != 1 {
			t.Errorf("status %q: exit code %d, want 1", dirs, code)
		}
		harness.OneLine(t, stderr, "tierfs: ", silent, fmt.Sprintf("kill -CONT %d", pid))
		harness.Contains(t, stdout, stopped.Dir+": "+stopped.Primary+", mounted by user 0")
		if len(dirs) != 1 {
			harness.Contains(t, stdout, fmt.Sprintf("%s: %s, daemon %d ", other.Dir, other.Primary, other.Pid()))
		}
	}
	stdout, _, code := harness.Run(t, harness.CLI, "status", "--json", stopped.Dir, other.Dir)
	var all []struct {
		control.Status
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || code != 1 || len(all) != 2 ||
		all[0].MountPoint != stopped.Dir || all[0].Source != stopped.Primary || !strings.HasPrefix(all[0].Error, silent) ||
		all[1].MountPoint != other.Dir || all[1].PID != other.Pid() || all[1].Error != "" {
		t.Errorf("exit code %d, %v: %s", code, err, stdout)
	}
}

// TestStatusGoesOnAfterAWrongMount: status A B said that A is none, and nothing
// of B.
func TestStatusGoesOnAfterAWrongMount(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	for _, wrong := range []string{m.Primary, m.Dir + "-missing"} {
		stdout, stderr, code := harness.Run(t, harness.CLI, "status", wrong, m.Dir)
		if code != 2 {
			t.Errorf("%s: exit code %d, want 2", wrong, code)
		}
		harness.OneLine(t, stderr, "tierfs: mount", wrong)
		harness.Contains(t, stdout, fmt.Sprintf("%s: %s, daemon %d ", m.Dir, m.Primary, m.Pid()))
		stdout, _, _ = harness.Run(t, harness.CLI, "status", "--json", wrong, m.Dir)
		var all []map[string]any
		if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) != 2 ||
			all[0]["mount_point"] != wrong || all[0]["error"] == nil || all[0]["user"] != nil || all[1]["mount_point"] != m.Dir {
			t.Errorf("%v: %s", err, stdout)
		}
	}
	m.Down()
	if stdout, _, code := harness.Run(t, harness.CLI, "status", "--json"); stdout != "[]\n" || code != 0 {
		t.Errorf("without mounts: exit code %d, %q", code, stdout)
	}
}

// TestStoppedDaemonHoldsUpNoMount: the helper asked the mount point whether its
// daemon lives, and could not even be killed.
func TestStoppedDaemonHoldsUpNoMount(t *testing.T) {
	m := harness.New(t, 0, "attr_timeout=0")
	m.Up()
	m.Stop()
	_, stderr, code := harness.Run(t, helper(m.Primary, m.Dir, "-o", m.Options())...)
	if code != 32 {
		t.Errorf("exit code %d, want 32", code)
	}
	harness.OneLine(t, stderr, m.Dir, "already mounted")
}

// TestUsersStatusSaysWhoMaySeeWhat: an ordinary user was told "permission
// denied", or that the daemon had died.
func TestUsersStatusSaysWhoMaySeeWhat(t *testing.T) {
	m := usersMount(t)
	upBy(m, as(userA, helper(m.Primary, m.Dir, "-o", m.Options())...))
	roots := harness.New(t, 0)
	roots.Up()
	for _, c := range []struct {
		of   *harness.Mount
		by   int
		seen string
		says string
	}{
		{roots, userA, "mounted by user 0", "mounts by root answer root only; run sudo tierfs status"},
		{m, userB, fmt.Sprintf("mounted by user %d", userA), fmt.Sprintf("mounts by user %d answer that user and root only; run sudo", userA)},
		{m, userA, fmt.Sprintf("mounted by user %d", userA), fmt.Sprintf("no answer without /run/user/%d/tierfs", userA)},
		{m, 0, fmt.Sprintf("mounted by user %d", userA), fmt.Sprintf("no answer without /run/user/%d/tierfs", userA)},
	} {
		stdout, stderr, code := harness.RunCmd(t, as(c.by, harness.CLI, "status", c.of.Dir))
		if code != 1 {
			t.Errorf("user %d: exit code %d, want 1", c.by, code)
		}
		harness.OneLine(t, stderr, fmt.Sprintf("tierfs: mount %q: ", c.of.Dir), c.says)
		harness.Contains(t, stdout, c.of.Dir+": "+c.of.Primary+", "+c.seen, "nosuid")
	}
	for _, args := range [][]string{{"plan", roots.Dir}, {"check", roots.Dir}, {"demote", roots.Dir}, {"promote", roots.Dir}, {"why", roots.Dir}} {
		_, stderr, code := asUser(t, userB, append([]string{harness.CLI}, args...)...)
		if code != 2 {
			t.Errorf("%q: exit code %d, want 2", args, code)
		}
		harness.OneLine(t, stderr, fmt.Sprintf("tierfs: mount %q: mounts by root answer root only; run sudo tierfs %s\n", roots.Dir, args[0]))
	}
	stdout, _, _ := asUser(t, userB, harness.CLI, "status")
	harness.Contains(t, stdout, m.Dir+": ", roots.Dir+": ")
	mustAs(t, userA, "fusermount3", "-u", m.Dir)
	m.Gone(0)
}

// TestStatusTellsWhereATiersPathLeads: a disk was exchanged under the mount,
// and nothing said that the old one was still the one in use.
func TestStatusTellsWhereATiersPathLeads(t *testing.T) {
	m := harness.New(t, 1)
	low := m.Fallbacks[0]
	harness.Write(t, low+"/file", "x")
	m.Up()
	wantPath := func(after, state, words string) {
		t.Helper()
		for range 2 { // the second time logs nothing
			if got := toldBy(t, m).Tiers[1].PathState; got != state {
				t.Errorf("%s: path state %q, want %q", after, got, state)
			}
		}
		harness.Contains(t, harness.Must(t, harness.CLI, "status", m.Dir), words)
		harness.WantRead(t, m.Path("file"), "x")
	}
	wantPath("mount", "", "tier 1  "+low)
	harness.Rename(t, low, low+".away")
	wantPath("mv", "unreachable", "path cannot be reached")
	harness.Mkdir(t, low)
	wantPath("mkdir", "elsewhere", "path leads elsewhere")
	harness.Remove(t, low)
	harness.Rename(t, low+".away", low)
	wantPath("mv back", "", "tier 1  "+low)
	harness.Must(t, "mount", "-t", "tmpfs", "tmpfs", low)
	wantPath("mount over", "elsewhere", "path leads elsewhere")
	harness.Must(t, "umount", low)
	wantPath("umount", "", "tier 1  "+low)
	for text, want := range map[string]int{"tier's path cannot be reached": 1, "tier's path leads to another": 2, "tier's path leads to it again": 2} {
		if got := strings.Count(m.Log(), text); got != want {
			t.Errorf("the log says %q %d times, want %d", text, got, want)
		}
	}
}

// TestStatusTellsOfAnUnmountedDisk: with access times of its own the mount uses
// the disk by another descriptor, which says nothing of the disk's mount.
func TestStatusTellsOfAnUnmountedDisk(t *testing.T) {
	for _, opts := range []string{"minfree=0", "noatime"} {
		disk := harness.TempDir(t) + "/disk"
		harness.Mkdir(t, disk)
		harness.Must(t, "mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", disk)
		harness.Write(t, disk+"/file", "x")
		m := harness.NewOn(t, []string{harness.TempDir(t), disk}, opts)
		m.Up()
		if got := toldBy(t, m).Tiers[1].PathState; got != "" {
			t.Errorf("%s: path state %q of a disk that is mounted", opts, got)
		}
		harness.Must(t, "umount", "-l", disk)
		if st := toldBy(t, m); st.Tiers[0].PathState != "" || st.Tiers[1].PathState != "unmounted" {
			t.Errorf("%s: %+v", opts, st.Tiers)
		}
		harness.Contains(t, harness.Must(t, harness.CLI, "status", m.Dir), "unmount pending")
		if got := strings.Count(m.Log(), "was unmounted but stays in use"); got != 1 {
			t.Errorf("%s: logged %d times", opts, got)
		}
		harness.WantRead(t, m.Path("file"), "x")
		harness.Must(t, "umount", m.Dir) // not Down: the descriptors have other paths now
		m.Gone(0)
	}
}

// TestStatusShowsSettingsAndWhereTheyComeFrom: what nobody had said was not
// shown, so that a default was looked up for the wrong release.
func TestStatusShowsSettingsAndWhereTheyComeFrom(t *testing.T) {
	harness.Require(t, "passthrough")
	m := harness.New(t, 1, "minfree=5%", "noacl", "nofail")
	want := func(when string, settings map[string]control.Setting) {
		t.Helper()
		got := toldBy(t, m).Settings
		for name, s := range settings {
			if got[name] != s {
				t.Errorf("%s: %s is %+v, want %+v", when, name, got[name], s)
			}
		}
	}
	m.Up()
	want("mounted", map[string]control.Setting{
		"minfree": {Value: "5%", From: "given"}, "acl": {Value: "off", From: "given"},
		"fallback":     {Value: m.Fallbacks[0], From: "given"},
		"tier_timeout": {Value: "10", From: "default"}, "attr_timeout": {Value: "1", From: "default"},
		"create": {Value: "parent", From: "default"}, "passthrough": {Value: "on", From: "default"},
		"allow_other": {Value: "on", From: "default"}, "ro": {Value: "off", From: "default"}, "exec": {Value: "on", From: "default"},
		"nofail": {}, "remount": {}, "max_read": {}, // nothing is in force
	})
	if s := toldBy(t, m).Settings["threads"]; s.From != "default" || s.Value == "" || s.Value == "0" {
		t.Errorf("threads: %+v", s)
	}
	harness.Must(t, "mount", "-o", "remount,attr_timeout=7,noexec", m.Dir)
	want("remounted", map[string]control.Setting{
		"attr_timeout": {Value: "7", From: "given"}, "exec": {Value: "off", From: "given"}, "minfree": {Value: "5%", From: "given"},
		"allow_other": {Value: "on", From: "default"}, "suid": {Value: "off", From: "default"}, "ro": {Value: "off", From: "default"},
	})
	stdout := harness.Must(t, harness.CLI, "status", m.Dir)
	harness.Contains(t, stdout, "\n  given   acl=off, attr_timeout=7, exec=off, fallback="+m.Fallbacks[0]+", minfree=5%\n",
		"\n  default age=newest, allow_other=on, ", ", tier_timeout=10\n")
}

// toldBy is the whole status of one mount.
func toldBy(t *testing.T, m *harness.Mount) control.Status {
	t.Helper()
	var all []control.Status
	out := harness.Must(t, harness.CLI, "status", "--json", m.Dir)
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		t.Fatalf("status: %v\n%s", err, out)
	}
	return all[0]
}
