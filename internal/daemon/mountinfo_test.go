package daemon

import (
	"os"
	"testing"
)

func TestParseMounts(t *testing.T) {
	text := `22 27 0:21 / /proc rw,relatime - proc proc rw
36 27 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue
40 27 0:45 / /srv/my\040docs\011\134\012x rw,nosuid - fuse.tierfs /srv/f\043a\040st rw,user_id=1000,group_id=0
41 27 0:46 / /empty rw -  fuse  rw
rubbish
1 2 3 4 5 6
42 27 0:47 / /nodash rw fuse x rw
43 x 0:47 / /bad rw - fuse x rw
44 27 0 / /bad rw - fuse x rw
`
	want := []Mount{
		{22, 27, 0, 21, "/", "/proc", "rw,relatime", "proc", "proc", "rw"},
		{36, 27, 98, 0, "/mnt1", "/mnt2", "rw,noatime", "ext3", "/dev/root", "rw,errors=continue"},
		{40, 27, 0, 45, "/", "/srv/my docs\t\\\nx", "rw,nosuid", "fuse.tierfs", "/srv/f#a st", "rw,user_id=1000,group_id=0"},
	}
	got := ParseMounts(text)
	if len(got) < len(want) {
		t.Fatalf("got %d lines: %+v", len(got), got)
	}
	for i, w := range want {
		if got[i] != w {
			t.Errorf("line %d\n got %+v\nwant %+v", i, got[i], w)
		}
	}
	for _, m := range got {
		if m.Dir == "/bad" || m.Dir == "/nodash" {
			t.Errorf("took %+v", m)
		}
	}
}

func TestEmptySourceIsAnEmptyField(t *testing.T) {
	got := ParseMounts("41 27 0:46 / /empty rw - fuse  rw,x\n")
	if len(got) != 1 || got[0].Source != "" || got[0].Super != "rw,x" {
		t.Errorf("got %+v", got)
	}
}

func TestTopFollowsParents(t *testing.T) {
	mounts := []Mount{
		{ID: 1, Parent: 0, Dir: "/"},
		{ID: 9, Parent: 5, Dir: "/srv", Type: "top"}, // moved upon 5: its line comes first
		{ID: 5, Parent: 3, Dir: "/srv"},
		{ID: 3, Parent: 1, Dir: "/srv"},
		{ID: 6, Parent: 9, Dir: "/srv/x"},
	}
	if m, ok := Top(mounts, "/srv"); !ok || m.ID != 9 {
		t.Errorf("got %+v", m)
	}
	if _, ok := Top(mounts, "/sr"); ok {
		t.Error("found a mount at /sr")
	}
}

func TestMountHas(t *testing.T) {
	m := Mount{Options: "rw,nosuid,noatime", Super: "ro,user_id=0"}
	for word, want := range map[string]bool{"rw": true, "ro": true, "noatime": true, "atime": false, "user_id": false, "": false} {
		if m.Has(word) != want {
			t.Errorf("%q: %v", word, !want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		path, dir string
		want      bool
	}{
		{"/srv", "/srv", true}, {"/srv/a", "/srv", true}, {"/srvx", "/srv", false},
		{"/", "/srv", false}, {"/srv", "/", true}, {"/srv (deleted)", "/srv", false},
	} {
		if Within(c.path, c.dir) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestMountsShowsRoot(t *testing.T) {
	mounts, err := Mounts()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := Top(mounts, "/"); !ok {
		t.Errorf("no root in %+v", mounts)
	}
}

func FuzzParseMounts(f *testing.F) {
	if text, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		f.Add(string(text))
	}
	f.Add(`40 27 0:45 / /srv/my\040docs rw - fuse.tierfs /srv\134x rw`)
	f.Add("1 1 0:0 \\ \\0 \\04 - \\777 \\400 \\")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range ParseMounts(text) {
			if got, ok := Top([]Mount{m}, m.Dir); !ok && m.ID != m.Parent || ok && got != m {
				t.Errorf("%+v is not its own top", m)
			}
		}
	})
}
