package command

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/tierfs/tierfs/tests/faultfs"
	"github.com/tierfs/tierfs/tests/harness"
)

// hiding is a mount with one of each that a check finds and can mend.
func hiding(t *testing.T) *harness.Mount {
	t.Helper()
	m := harness.New(t, 1)
	low := m.Fallbacks[0]
	harness.Write(t, m.Primary+"/same", "1")
	harness.Write(t, low+"/same", "1")
	harness.Write(t, m.Primary+"/differs", "new")
	harness.Write(t, low+"/differs", "old")
	harness.Write(t, m.Primary+"/kind", "a file")
	harness.Mkdir(t, low+"/kind")
	m.Up()
	harness.Mkdir(t, low+"/.tierfs/staging")
	harness.Write(t, low+"/.tierfs/staging/left", "half a cop")
	return m
}

// TestCheckEndsAMoveThatNoMountCanEnd: the name of what it had set aside is
// taken. Each mount said so, and nothing could be done about it.
func TestCheckEndsAMoveThatNoMountCanEnd(t *testing.T) {
	m := harness.New(t, 1)
	m.Put(0, "d/f", "another")
	m.Up()
	m.Down()
	var ids []any
	for _, tier := range m.Tiers {
		var mark struct{ ID string }
		if err := json.Unmarshal([]byte(harness.Read(t, tier+"/.tierfs/members")), &mark); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, mark.ID)
		for _, dir := range []string{"journal", "trash"} {
			harness.Mkdir(t, tier+"/.tierfs/"+dir)
			harness.Chmod(t, tier+"/.tierfs/"+dir, 0o700)
		}
	}
	const stamp = `{"ino":1,"size":1,"mode":33188,"uid":0,"gid":0,"mtime":{"Sec":1,"Nsec":1},"ctime":{"Sec":1,"Nsec":1}}`
	harness.Write(t, m.Primary+"/.tierfs/trash/x-1", "the only copy")
	harness.Write(t, m.Fallbacks[0]+"/.tierfs/journal/1", fmt.Sprintf(`{"kind":"move-files","to":"","moves":null,"relocation":`+
		`{"source":%q,"target":%q,"dir":"ZA==","files":[{"name":"Zg==","source":`+stamp+`,"copy":`+stamp+`,"aside":"x-1"}]}}`, ids...))
	_, stderr, _ := m.TryUp()
	harness.Contains(t, stderr, "cannot be finished", "see tierfs check --repair")
	out, _ := tierfs(t, 1, "check", m.Dir)
	harness.Contains(t, out, "record: tier 1: ", "trash: tier 0: ", "2 findings, 0 mended\n")
	out, stderr = tierfs(t, 2, "check", "--repair", m.Dir)
	harness.Contains(t, out, `; to mend it: end the move of "d/f": `)
	harness.OneLine(t, stderr, "give --yes")
	harness.WantList(t, m.Path("d"), "f")
	out, _ = tierfs(t, 0, "check", "--repair", "--yes", m.Dir)
	harness.Contains(t, out, "; mended: ended the move of ", "1 finding, 1 mended\n")
	harness.WantRead(t, m.Path("d/f"), "another")
	harness.WantRead(t, m.Path("d/f.recovered-by-tierfs-1"), "the only copy")
	tierfs(t, 0, "check", m.Dir)
}

func TestCheckFindsAndMends(t *testing.T) {
	m := hiding(t)
	low := m.Fallbacks[0]
	out, _ := tierfs(t, 1, "check", m.Dir)
	harness.Contains(t, out, "same-copy: tier 1: "+low+"/same: hidden by the same file on tier 0, "+m.Primary+"\n",
		"other-copy: tier 1: "+low+"/differs: ", "other-type: tier 1: "+low+"/kind: ",
		"staged: tier 1: "+low+"/.tierfs/staging/left: ", "4 findings, 0 mended\n")
	harness.WantRead(t, low+"/same", "1")

	out, stderr := tierfs(t, 2, "check", "--repair", m.Dir)
	harness.Contains(t, out, "; to mend it: remove it\n")
	harness.OneLine(t, stderr, "give --yes")
	harness.WantRead(t, low+"/same", "1")

	out, _ = tierfs(t, 1, "check", "--repair", "--yes", m.Dir)
	harness.Contains(t, out, "; mended: removed\n", "4 findings, 2 mended\n")
	harness.WantList(t, low, ".tierfs", "differs", "kind")
	harness.WantList(t, low+"/.tierfs/staging")
	harness.WantRead(t, m.Path("same"), "1")
	harness.WantRead(t, low+"/differs", "old")

	tierfs(t, 1, "check", "--repair", "--yes", "--rename", m.Dir)
	harness.WantRead(t, m.Path("differs"), "new")
	harness.WantRead(t, m.Path("differs.shadowed-by-tierfs-1"), "old")

	harness.Remove(t, low+"/kind")
	out, _ = tierfs(t, 0, "check", m.Dir)
	harness.OneLine(t, out, "0 findings, 0 mended\n")
}

// TestRepairKeepsACopyWithOtherMetadata: the same bytes with another mode, owner or
// attribute were the same file, and what was set on the hidden one went with it.
func TestRepairKeepsACopyWithOtherMetadata(t *testing.T) {
	m := harness.New(t, 1)
	low := m.Fallbacks[0]
	for name, command := range map[string][]string{
		"attribute": {"setfattr", "-n", "user.important", "-v", "1"}, "closed": {"chmod", "600"}, "set-id": {"chmod", "4755"},
		"owner": {"chown", "1000:1000"}, "acl": {"setfacl", "-m", "u:1000:rw"},
	} {
		harness.Write(t, m.Primary+"/"+name, "1")
		harness.Write(t, low+"/"+name, "1")
		harness.Must(t, append(command, low+"/"+name)...)
	}
	m.Up()
	out, _ := tierfs(t, 1, "check", "--repair", "--yes", m.Dir)
	over := ": hidden by another file of that name on tier 0, " + m.Primary + ", which differs in "
	const do = "; compare them and remove or rename one\n"
	harness.Contains(t, out, low+"/attribute"+over+"attributes"+do, low+"/closed"+over+"mode"+do, low+"/set-id"+over+"mode"+do,
		low+"/owner"+over+"owner, group"+do, low+"/acl"+over+"mode, ACL"+do, "5 findings, 0 mended\n")
	tierfs(t, 0, "check", "--repair", "--yes", "--rename", m.Dir)
	for name, want := range map[string]string{"attribute": "644", "closed": "600", "set-id": "4755", "owner": "644", "acl": "664"} {
		if got := harness.Must(t, "stat", "-c", "%a", m.Path(name+".shadowed-by-tierfs-1")); got != want+"\n" {
			t.Errorf("%s: mode %s, want %s", name, got, want)
		}
	}
}

// A tier that has one owner and one mode for all files cannot lose others.
func TestRepairRemovesACopyOfATierWithoutOwners(t *testing.T) {
	disk := faultfs.New(t, 1)
	m := harness.NewOn(t, []string{harness.TempDir(t), disk.Disks[0]})
	harness.Write(t, m.Primary+"/f", "1")
	harness.Must(t, "chown", "1000:1000", m.Primary+"/f")
	harness.Must(t, "chmod", "600", m.Primary+"/f")
	harness.Write(t, disk.Disks[0]+"/f", "1")
	harness.Chmod(t, disk.Disks[0]+"/f", 0o600)
	m.Up()
	out, _ := tierfs(t, 1, "check", m.Dir)
	harness.Contains(t, out, "other-copy: ", "differs in owner, group;")
	disk.Arm(faultfs.Plan{NoOwners: true, Nth: 1 << 30})
	out, _ = tierfs(t, 0, "check", "--repair", "--yes", m.Dir)
	harness.Contains(t, out, "same-copy: ", "; mended: removed\n", "1 finding, 1 mended\n")
	disk.Disarm()
	m.Down()
}

// The name that is no UTF-8 was \xff in what was found and \ufffd in how it was mended.
func TestCheckPrintsANameTheSameWayTwice(t *testing.T) {
	m := harness.New(t, 1)
	const name = "bad\xff\\\tname"
	harness.Write(t, m.Primary+"/"+name, "new")
	harness.Write(t, m.Fallbacks[0]+"/"+name, "old")
	m.Up()
	const shown = `bad\xff\\\tname`
	out, _ := tierfs(t, 0, "check", "--repair", "--yes", "--rename", m.Dir)
	harness.Contains(t, out, "other-copy: tier 1: "+m.Fallbacks[0]+"/"+shown+": ", "; mended: renamed to "+shown+".shadowed-by-tierfs-1\n")
	harness.WantRead(t, m.Path(name+".shadowed-by-tierfs-1"), "old")
}

func TestCheckPrintsJSON(t *testing.T) {
	m := hiding(t)
	out, _ := tierfs(t, 1, "check", "--json", m.Dir)
	lines := decoded(t, out)
	if len(lines) != 5 {
		t.Fatalf("%s", out)
	}
	kinds := map[string]bool{}
	for _, l := range lines[:4] {
		kind, _ := l["kind"].(string)
		kinds[kind] = l["path"] != "" && l["at"] != nil && l["text"] != "" && l["tier"] == 1.0
	}
	for _, kind := range []string{"same-copy", "other-copy", "other-type", "staged"} {
		if !kinds[kind] {
			t.Errorf("no whole %s in\n%s", kind, out)
		}
	}
	if end, _ := lines[4]["end"].(map[string]any); end["findings"] != 4.0 {
		t.Errorf("%s", out)
	}
}

// A file in the trash may be the only copy: it stays, or is shown to root alone.
func TestCheckKeepsTheTrash(t *testing.T) {
	m := harness.New(t, 1)
	low := m.Fallbacks[0]
	m.Up()
	harness.Mkdir(t, low+"/.tierfs/trash")
	harness.Chmod(t, low+"/.tierfs/trash", 0o700)
	harness.Write(t, low+"/.tierfs/trash/x", "1")
	out, _ := tierfs(t, 1, "check", "--repair", "--yes", m.Dir)
	harness.Contains(t, out, "trash: tier 1: "+low+"/.tierfs/trash/x: ", "1 finding, 0 mended\n")
	out, _ = tierfs(t, 0, "check", "--repair", "--yes", "--rename", m.Dir)
	harness.Contains(t, out, "; mended: moved to recovered-by-tierfs/x in the mount\n", "1 finding, 1 mended\n")
	harness.WantRead(t, m.Path("recovered-by-tierfs/x"), "1")
	if _, _, code := harness.AsUser(t, 1000, 1000, nil, "cat", m.Path("recovered-by-tierfs/x")); code == 0 {
		t.Error("others can read it")
	}
}

// Two daemons on the same tiers: only the first may touch what lies there.
func TestRepairIsForTheDaemonThatHasTheTiers(t *testing.T) {
	m := hiding(t)
	second := harness.NewOn(t, m.Tiers)
	second.Up()
	_, stderr := tierfs(t, 2, "check", "--repair", "--yes", second.Dir)
	harness.OneLine(t, stderr, fmt.Sprintf("another daemon has the tiers too (daemon %d, mounted on %s); unmount that one", m.Pid(), m.Dir))
	harness.WantRead(t, m.Fallbacks[0]+"/same", "1")
	tierfs(t, 1, "check", second.Dir)
	second.Down()
}
