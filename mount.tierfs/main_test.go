package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/fusedev"
	"github.com/tierfs/tierfs/internal/mountopt"
	"golang.org/x/sys/unix"
)

func TestNameDecidesBetweenHelperAndCommand(t *testing.T) {
	for _, c := range []struct {
		args string
		want bool
	}{
		{"mount.tierfs", true},
		{"/sbin/mount.tierfs /a /b", true},
		{"/usr/sbin/mount.fuse.tierfs rel /b -o rw", true},
		{"tierfs /a /b -o rw", true}, // mount.fuse3 calls it so
		{"/usr/bin/tierfs /a /b", true},
		{"tierfs", false},
		{"tierfs status /a", false},
		{"tierfs help", false},
		{"./bin/tierfs --version", false},
	} {
		if got := isHelper(strings.Fields(c.args)); got != c.want {
			t.Errorf("%s: helper %v", c.args, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	_, option := mountopt.ParseCommand([]string{"/a", "/b", "-o", "falback=/c"})
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{option, 1},
		{fmt.Errorf("wrapped: %w", option), 1},
		{usage("x"), exitCannot},
		{&fusedev.DeviceError{Text: "x"}, 2},
		{fmt.Errorf("x: %w", unix.ENOMEM), 2},
		{fmt.Errorf("x: %w", unix.EMFILE), 2},
		{failure{code: exitInterrupted}, 8},
		{fmt.Errorf("x: %w", failure{exitSystem, errors.New("y")}), 2},
		{unix.EPERM, 32},
		{errors.New("x"), 32},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

// An option without a row would be refused by every remount of an fstab line
// that has it.
func TestEverySettingHasARow(t *testing.T) {
	known := map[string]bool{}
	for _, e := range mountopt.Help() {
		if e.Setting == "" {
			continue
		}
		known[e.Setting] = true
		if _, ok := settings[e.Setting]; !ok {
			t.Errorf("option %s: setting %s has no row", e.Name, e.Setting)
		}
	}
	for name := range settings {
		if !known[name] {
			t.Errorf("row %s: mountopt has no such setting", name)
		}
	}
}

func options(t *testing.T, text string) mountopt.Options {
	t.Helper()
	o := mountopt.Default()
	if err := o.Parse(text, false); err != nil {
		t.Fatal(err)
	}
	return o
}

func keys(o mountopt.Options) []string {
	var set []string
	for name := range o.Set {
		set = append(set, name)
	}
	return set
}

func TestMergeTakesOnlyWhatWasGiven(t *testing.T) {
	now := options(t, "fallback=/b,entry_timeout=7,minfree=5%,threads=3")
	for _, c := range []struct{ want, next, err string }{
		{"ro", "fallback=/b,entry_timeout=7,minfree=5%,threads=3", ""},
		{"minfree=2G", "fallback=/b,entry_timeout=7,minfree=2G,threads=3", ""},
		{"create=primary,statfs=primary,attr_timeout=3,negative_timeout=4,tier_timeout=5,debug,log=/x",
			"fallback=/b,entry_timeout=7,minfree=5%,threads=3,create=primary,statfs=primary,attr_timeout=3,negative_timeout=4,tier_timeout=5,debug,log=/x", ""},
		{"fallback=/b,threads=3,nofail,noatime", "fallback=/b,entry_timeout=7,minfree=5%,threads=3", ""},
		{"fallback=/b:/c", "fallback=/b:/c,entry_timeout=7,minfree=5%,threads=3", ""},
		{"demote=30d,age=mtime,high=90,low=80,promote=3/1d,ignore_comm=rsync,window=01:00-05:00,exclude=*.tmp,mover_rate=5M",
			"fallback=/b,entry_timeout=7,minfree=5%,threads=3,demote=30d,age=mtime,high=90,low=80,promote=3/1d,ignore_comm=rsync,window=01:00-05:00,exclude=*.tmp,mover_rate=5M", ""},
		{"threads=4", "", "option threads: cannot change while mounted; unmount first"},
		{"entry_timeout=1,fallback=/c:/b", "", "option fallback: fallback=/b is mounted, and others can only come after it; write fallback=/b:/c, or unmount first"},
		{"fallback=/c:/d", "", "write fallback=/b:/c:/d, or unmount first"},
		{"passthrough=off", "", "unmount first"},
		{"dirsync", "", "option dirsync: cannot change while mounted; unmount first"},
		{`context="a"`, "", "unmount first"},
	} {
		want := options(t, c.want)
		next, err := merge(now, want, keys(want))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || next.String() != now.String() {
				t.Errorf("%s: %s, %v; want %s", c.want, next, err, c.err)
			}
			continue
		}
		if expected := options(t, c.next); err != nil || next.String() != expected.String() {
			t.Errorf("%s\n got %s, %v\nwant %s", c.want, next, err, expected)
		}
	}
	aims := options(t, "fallback=/b,high=90%")
	want := options(t, "low=95%")
	if _, err := merge(aims, want, keys(want)); err == nil || !strings.Contains(err.Error(), "more than high") {
		t.Errorf("low over high: %v", err)
	}
	two := options(t, "fallback=/c:/b")
	if _, err := merge(two, now, []string{"fallback"}); err == nil || err.Error() != "option fallback: fallback=/c:/b is mounted, and none can be taken away; write that, and if it comes from the line of /etc/fstab, which a remount repeats, write it there; or unmount first" {
		t.Errorf("a fallback less: %v", err)
	}
	turned := options(t, "fallback=/b:/c")
	if _, err := merge(two, turned, []string{"fallback"}); err == nil || !strings.Contains(err.Error(), "none can change its place; write that, or") {
		t.Errorf("fallbacks turned round: %v", err)
	}
	if _, err := merge(mountopt.Default(), now, []string{"fallback"}); err == nil || !strings.Contains(err.Error(), "option fallback: the mount has none") {
		t.Errorf("a fallback for a mount without one: %v", err)
	}
	if _, err := merge(now, now, []string{"of_a_later_release"}); err == nil {
		t.Error("took a setting that it does not know")
	}
}

func TestFlagsOfAMount(t *testing.T) {
	for _, c := range []struct {
		opts, super string
		want        uintptr
	}{
		{"rw,nosuid,nodev,relatime", "rw,user_id=0", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_RELATIME},
		{"rw", "ro,sync,lazytime", unix.MS_RDONLY | unix.MS_SYNCHRONOUS | unix.MS_LAZYTIME | unix.MS_STRICTATIME},
		{"ro,noexec,noatime,nodiratime,nosymfollow", "rw", unix.MS_RDONLY | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_NOSYMFOLLOW},
	} {
		if got := flagsOf(daemon.Mount{Options: c.opts, Super: c.super}); got != c.want {
			t.Errorf("%s %s: %#x, want %#x", c.opts, c.super, got, c.want)
		}
	}
}

// A remount that says ro must not make device nodes work.
func TestMergeFlagsKeepsWhatWasNotGiven(t *testing.T) {
	now := uintptr(unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME)
	for _, c := range []struct {
		opts string
		want uintptr
	}{
		{"ro", now | unix.MS_RDONLY},
		{"rw", now},
		{"exec", now &^ unix.MS_NOEXEC},
		{"relatime", now&^unix.MS_NOATIME | unix.MS_RELATIME},
		{"dev", now &^ unix.MS_NODEV},
		{"minfree=1%", now},
		{"atime", now&^unix.MS_NOATIME | unix.MS_RELATIME},
	} {
		want := options(t, c.opts)
		if got := mergeFlags(now, want); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.opts, got, c.want)
		}
	}
}

// Mountinfo has no word for strictatime.
func TestMergeFlagsKnowsStrictatimeByItsSilence(t *testing.T) {
	const mountinfo = "rw,nosuid,nodev,remount,user_id=0"
	const base = unix.MS_NOSUID | unix.MS_NODEV
	for _, c := range []struct {
		now, want uintptr
		opts      string
	}{
		{unix.MS_STRICTATIME, unix.MS_STRICTATIME, mountinfo},
		{unix.MS_NOATIME, unix.MS_RELATIME, mountinfo},
		{unix.MS_RELATIME, unix.MS_STRICTATIME, mountinfo + ",strictatime"},
		{unix.MS_STRICTATIME, unix.MS_RELATIME, "rw,remount,fallback=/b"},
		{unix.MS_STRICTATIME, unix.MS_RELATIME, "remount,nostrictatime"},
		{unix.MS_STRICTATIME, unix.MS_STRICTATIME, "remount,ro,rw"},
	} {
		if got := mergeFlags(base|c.now, options(t, c.opts)); got != base|c.want {
			t.Errorf("%s: %#x, want %#x", c.opts, got, base|c.want)
		}
	}
}

func TestOwnerOfAMount(t *testing.T) {
	for super, want := range map[string]int{"rw,user_id=1000,group_id=5": 1000, "rw,user_id=0": 0, "rw": 0, "user_id=x": 0} {
		if got := ownerOf(daemon.Mount{Super: super}); got != want {
			t.Errorf("%s: %d", super, got)
		}
	}
}

func TestOthersAreLetInByRootOnly(t *testing.T) {
	for _, c := range []struct {
		opts string
		uid  int
		want bool
	}{
		{"", 0, true}, {"noallow_other", 0, false}, {"allow_other", 0, true},
		{"", 1000, false}, {"allow_other", 1000, true}, {"allow_other,noallow_other", 1000, false},
	} {
		if got := allowsOthers(options(t, c.opts), c.uid); got != c.want {
			t.Errorf("%q, user %d: %v", c.opts, c.uid, got)
		}
	}
}

func TestUsersAreToldWhatOnlyRootGets(t *testing.T) {
	for _, c := range []struct {
		opts string
		uid  int
		want string
	}{
		{"acl,suid,dev,noforget,passthrough=on,lazytime", 0, ""},
		{"", 1000, ""},
		{"noacl,passthrough=auto,noforget,allow_other,noatime", 1000, ""},
		{"acl", 1000, "acl: without effect"},
		{"allow_suid,allow_dev,passthrough", 1000, "suid, dev, passthrough=on: without effect"},
		{"nosuid,nodev,allow_suid", 1000, "suid: without effect"}, // mount(8), for a line with user
		{"noforget,lazytime", 1000, "lazytime, noforget: without effect"},
	} {
		if got := powerless(options(t, c.opts), c.uid); (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, user %d: %q, want %q", c.opts, c.uid, got, c.want)
		}
	}
}

func TestTierPathsAreAbsoluteAndTheSourceIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	cmd, err := mountopt.ParseCommand([]string{"fast/../fast", "/m", "-o", "fallback=/slow/../slow:/abs/"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tierPaths(cmd)
	if want := dir + "/fast /slow /abs"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %q, %v; want %s", got, err, want)
	}
	if cmd.Spec != "fast/../fast" || cmd.Options.Fallbacks[1] != "/abs/" {
		t.Errorf("changed to %q %q", cmd.Spec, cmd.Options.Fallbacks)
	}
}

func TestVacant(t *testing.T) {
	dir := t.TempDir()
	disk := daemon.Mount{Type: "ext4"}
	ours := daemon.Mount{Type: fstype}
	if err := vacant(daemon.MountPoint{Path: dir}); err != nil {
		t.Error(err)
	}
	if err := vacant(daemon.MountPoint{Path: dir, Taken: true, Top: disk}); err != nil {
		t.Errorf("a disk: %v", err)
	}
	err := vacant(daemon.MountPoint{Path: dir, Taken: true, Top: ours})
	if err == nil || !strings.Contains(err.Error(), "already mounted") || codeOf(err) != exitFailed {
		t.Errorf("ours: %v", err)
	}
	if err := vacant(daemon.MountPoint{Path: dir + "/none"}); err == nil {
		t.Error("nothing there: vacant")
	}
}

func TestStatusText(t *testing.T) {
	var b strings.Builder
	err := printStatus(&b, control.Status{
		Source: "/fast", MountPoint: "/docs", PID: 7, Version: "1",
		Settings: map[string]control.Setting{
			"ro": {Value: "on", From: control.Given}, "acl": {Value: "off", From: control.Given},
			"statfs": {Value: "sum", From: control.Default}, "debug": {Value: "off", From: control.Default},
		},
		Tiers: []control.Tier{{Path: "/fast", Size: 10 << 30, Free: 1536, ReadOnly: true}, {Rank: 1, Path: "/slow", Away: true},
			{Rank: 2, Path: "/late", ReadOnly: true, MountAnew: true}, {Rank: 3, Path: "/slower", Stalled: true}},
		Ops: map[string]uint64{"READ": 3, "LOOKUP": 12},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/docs: /fast, daemon 7 of release 1, up ",
		"  tier 0  /fast  1.5 KiB free of 10 GiB, read-only\n",
		"  tier 1  /slow  away: it does not answer; check its disk or server\n",
		"  tier 2  /late  0 B free of 0 B, read-only until the next mount: its disk has become writable, so unmount and mount anew\n",
		"  tier 3  /slower  0 B free of 0 B, does not answer at the moment\n",
		"  given   acl=off, ro=on\n",
		"  default statfs=sum\n",
		"  served  LOOKUP 12, READ 3\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestHelpListsEveryOption(t *testing.T) {
	var b strings.Builder
	if err := printHelperHelp(&b); err != nil {
		t.Fatal(err)
	}
	for _, e := range mountopt.Help() {
		if !strings.Contains(b.String(), "\n  "+e.Name) {
			t.Errorf("no %s", e.Name)
		}
	}
}
