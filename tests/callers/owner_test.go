package callers

import (
	"os/exec"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestFilesBelongToWhoMadeThem(t *testing.T) {
	m := newMount(t)
	for _, d := range []string{"p", "f"} {
		for _, who := range []string{"root", "alice", "bob"} {
			harness.Mkdir(t, m.Tiers[map[string]int{"p": 0, "f": 1}[d]]+"/"+d+"/"+who)
			harness.Chmod(t, m.Tiers[map[string]int{"p": 0, "f": 1}[d]]+"/"+d+"/"+who, 0o777)
		}
	}
	m.Up()
	users := map[string][2]int{"root": {0, 0}, "alice": {alice, staff}, "bob": {bob, friends}}
	for _, d := range []string{"p/", "f/"} {
		for who, id := range users {
			run(t, makeAll, id[0], id[1], []int{friends}, "ok", m.Path(d+who))
			for _, name := range makers {
				mode := uint32(0o644)
				switch name {
				case "dir":
					mode = 0o755
				case "link":
					mode = 0o777
				}
				want(t, m, d+who+"/"+name, id[0], id[1], mode)
			}
		}
	}
}

// TestManyUsersAtOnce: the daemon takes each caller's identity on a thread of
// its own, and one that kept it would give the next caller's file away.
func TestManyUsersAtOnce(t *testing.T) {
	m := newMount(t)
	m.Up()
	var cmds []*exec.Cmd
	for i := range 8 {
		dir := m.Path("p/" + string(rune('a'+i)))
		cmds = append(cmds, asUser(createMany.Cmd(dir, "200"), alice+i, staff+i))
	}
	for _, cmd := range cmds {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: %v", cmd.Args, err)
		}
	}
	for i := range 8 {
		dir := "p/" + string(rune('a'+i))
		want(t, m, dir, alice+i, staff+i, 0o755)
		for _, name := range harness.List(t, m.Path(dir)) {
			st := harness.Stat(t, m.Path(dir+"/"+name))
			if int(st.Uid) != alice+i || int(st.Gid) != staff+i {
				t.Fatalf("%s/%s belongs to %d:%d, want %d:%d", dir, name, st.Uid, st.Gid, alice+i, staff+i)
			}
		}
	}
}

func TestUmaskIsTheCallers(t *testing.T) {
	m := newMount(t)
	for i, d := range []string{"p", "f"} {
		for _, mask := range []string{"000", "027", "077"} {
			harness.Mkdir(t, m.Tiers[i]+"/"+d+"/"+mask)
			harness.Chmod(t, m.Tiers[i]+"/"+d+"/"+mask, 0o777)
		}
	}
	m.Up()
	for _, d := range []string{"p/", "f/"} {
		for mask, modes := range map[string][2]uint32{"000": {0o666, 0o777}, "027": {0o640, 0o750}, "077": {0o600, 0o700}} {
			run(t, makeAll, alice, staff, nil, "ok", m.Path(d+mask), mask)
			for _, name := range makers {
				mode := modes[0]
				switch name {
				case "dir":
					mode = modes[1]
				case "link":
					mode = 0o777
				}
				want(t, m, d+mask+"/"+name, alice, staff, mode)
			}
		}
	}
}

func TestSetGroupIDDirectoryGivesItsGroup(t *testing.T) {
	m := newMount(t)
	for i, d := range []string{"p", "f"} {
		harness.Mkdir(t, m.Tiers[i]+"/"+d+"/s")
		harness.Chown(t, m.Tiers[i]+"/"+d+"/s", bob, friends)
		harness.Chmod(t, m.Tiers[i]+"/"+d+"/s", 0o2777)
	}
	m.Up()
	for _, d := range []string{"p/s", "f/s"} {
		run(t, makeAll, alice, staff, nil, "ok", m.Path(d))
		want(t, m, d+"/file", alice, friends, 0o644)
		want(t, m, d+"/tmpfile", alice, friends, 0o644)
		want(t, m, d+"/dir", alice, friends, 0o2755)
		want(t, m, d+"/fifo", alice, friends, 0o644)
		want(t, m, d+"/link", alice, friends, 0o777)
		// Who is not of the group must not make a program that gives it.
		run(t, call, alice, staff, nil, "ok", "create", m.Path(d+"/stranger"), "2775")
		want(t, m, d+"/stranger", alice, friends, 0o775)
		run(t, call, alice, staff, []int{friends}, "ok", "create", m.Path(d+"/member"), "2775")
		want(t, m, d+"/member", alice, friends, 0o2775)
		run(t, call, 0, 0, nil, "ok", "create", m.Path(d+"/root"), "6775")
		want(t, m, d+"/root", 0, friends, 0o6775)
	}
}

func TestDefaultACLIsInheritedInPlaceOfTheUmask(t *testing.T) {
	m := newMount(t)
	for i, d := range []string{"p", "f"} {
		setACL(t, m.Tiers[i]+"/"+d, "default", acl(7, 6, 5, bob))
	}
	m.Up()
	for _, d := range []string{"p", "f"} {
		run(t, makeAll, alice, staff, nil, "ok", m.Path(d), "077")
		want(t, m, d+"/file", alice, staff, 0o664)
		want(t, m, d+"/node", alice, staff, 0o664)
		want(t, m, d+"/dir", alice, staff, 0o775)
		run(t, call, bob, friends, nil, "ok", "write", m.Path(d+"/file"))
		run(t, call, bob+1, friends, nil, "EACCES", "write", m.Path(d+"/file"))
		got := harness.Must(t, "getfacl", "-cpn", m.Path(d+"/dir"))
		harness.Contains(t, got, "user:54322:rw-", "default:user:54322:rw-")
	}
}

// TestMadeParentsBelongToTheirModel, not to the caller whose file needs them.
func TestMadeParentsBelongToTheirModel(t *testing.T) {
	m := newMount(t, "create=primary")
	harness.Mkdir(t, m.Fallbacks[0]+"/f/sub")
	harness.Chown(t, m.Fallbacks[0]+"/f/sub", bob, friends)
	harness.Chmod(t, m.Fallbacks[0]+"/f/sub", 0o3777)
	m.Up()
	run(t, call, alice, staff, nil, "ok", "create", m.Path("f/sub/new"), "644")
	st := harness.Stat(t, m.Primary+"/f/sub")
	if int(st.Uid) != bob || int(st.Gid) != friends || st.Mode&0o7777 != 0o3777 {
		t.Errorf("the made parent: owner %d:%d mode %o", st.Uid, st.Gid, st.Mode&0o7777)
	}
	st = harness.Stat(t, m.Primary+"/f/sub/new")
	if int(st.Uid) != alice || int(st.Gid) != friends {
		t.Errorf("the file: owner %d:%d", st.Uid, st.Gid)
	}
}
