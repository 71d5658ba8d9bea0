package callers

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// TestAnothersWriteClearsSetID: a program that is set-user-ID and writable by
// mistake must not keep the bit when someone else puts other code into it.
func TestAnothersWriteClearsSetID(t *testing.T) {
	for _, mode := range []string{"passthrough=auto", "passthrough=off"} {
		t.Run(mode, func(t *testing.T) {
			m := newMount(t, mode)
			m.Up()
			for d, i := range rank {
				for _, how := range []string{"overwrite", "append", "truncate", "otrunc"} {
					for _, bits := range []uint32{0o6777, 0o4777, 0o2777} {
						rel := d + "/x"
						give(t, m.Tiers[i]+"/"+rel, bob, friends, bits)
						harness.Stat(t, m.Path(rel))
						run(t, call, alice, staff, nil, "ok", how, m.Path(rel))
						want(t, m, rel, bob, friends, 0o777)
						harness.Remove(t, m.Path(rel))
					}
				}
			}
		})
	}
}

// TestWriteAfterChmodClearsAgain, although the file was open all the time.
func TestWriteAfterChmodClearsAgain(t *testing.T) {
	m := newMount(t)
	m.Up()
	for d, i := range rank {
		rel := d + "/x"
		give(t, m.Tiers[i]+"/"+rel, alice, staff, 0o666)
		fd, err := unix.Open(m.Path(rel), unix.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		harness.Chmod(t, m.Path(rel), 0o4777)
		want(t, m, rel, alice, staff, 0o4777)
		run(t, call, bob, friends, nil, "ok", "overwrite", m.Path(rel))
		want(t, m, rel, alice, staff, 0o777)
		unix.Close(fd)
	}
}

func TestChmodKeepsSetGroupIDForMembersOnly(t *testing.T) {
	m := newMount(t)
	m.Up()
	for d, i := range rank {
		give(t, m.Tiers[i]+"/"+d+"/member", alice, friends, 0o755)
		run(t, call, alice, staff, []int{friends}, "ok", "chmod", m.Path(d+"/member"), "2755")
		want(t, m, d+"/member", alice, friends, 0o2755)
		give(t, m.Tiers[i]+"/"+d+"/stranger", alice, bob, 0o755)
		run(t, call, alice, staff, []int{friends}, "ok", "chmod", m.Path(d+"/stranger"), "6755")
		want(t, m, d+"/stranger", alice, bob, 0o4755)
		give(t, m.Tiers[i]+"/"+d+"/root", alice, bob, 0o755)
		run(t, call, 0, 0, nil, "ok", "chmod", m.Path(d+"/root"), "6755")
		want(t, m, d+"/root", alice, bob, 0o6755)
		run(t, call, alice, staff, []int{friends}, "ok", "mkdir", m.Path(d+"/dir"), "755")
		run(t, call, alice, staff, []int{friends}, "ok", "chmod", m.Path(d+"/dir"), "2775")
		want(t, m, d+"/dir", alice, staff, 0o2775)
	}
}

func TestChownClearsSetID(t *testing.T) {
	m := newMount(t)
	m.Up()
	for d, i := range rank {
		rel := d + "/x"
		give(t, m.Tiers[i]+"/"+rel, alice, staff, 0o6755)
		run(t, call, alice, staff, []int{friends}, "ok", "chgrp", m.Path(rel), "54402")
		want(t, m, rel, alice, friends, 0o755)
		give(t, m.Tiers[i]+"/"+rel+"2", alice, staff, 0o6755)
		harness.Chown(t, m.Path(rel+"2"), bob, friends)
		want(t, m, rel+"2", bob, friends, 0o755)
	}
}

// TestSetIDProgramsRunOnlyWithSuid: nosuid is the mount's default.
func TestSetIDProgramsRunOnlyWithSuid(t *testing.T) {
	for opt, uid := range map[string]string{"nosuid": "54321", "rw": "54321", "suid": "54322"} {
		m := newMount(t)
		harness.Must(t, "cp", "/usr/bin/id", m.Fallbacks[0]+"/f/id")
		harness.Chown(t, m.Fallbacks[0]+"/f/id", bob, friends)
		harness.Chmod(t, m.Fallbacks[0]+"/f/id", 0o4755)
		// mount(8) takes "suid" for its own default and drops it.
		m.UpBy(exec.Command(harness.FuseHelper, m.Primary, m.Dir, "-o", m.Options(opt)))
		stdout, stderr, code := harness.AsUser(t, alice, staff, nil, m.Path("f/id"), "-u")
		if code != 0 || stdout != uid+"\n" {
			t.Errorf("option %q: effective user %q, want %s (%d %s)", opt, stdout, uid, code, stderr)
		}
	}
}
