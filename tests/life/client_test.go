package life

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// client is one of many processes: it makes, reads, renames, links and removes
// files of its own and of a common directory, and checks what it reads.
var client = harness.Func("client", func(args []string) error {
	own, common, me := args[0], args[1], args[2]
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	for i := range 30 {
		text := strings.Repeat(me, i*50+1)
		path := fmt.Sprintf("%s/%d", own, i)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Rename(path, path+"r"); err != nil {
			return err
		}
		if err := os.Link(path+"r", fmt.Sprintf("%s/%s-%d", common, me, i)); err != nil {
			return err
		}
		if got, err := os.ReadFile(path + "r"); err != nil || string(got) != text {
			return fmt.Errorf("%s: read %d bytes of %d, %v", path, len(got), len(text), err)
		}
		if _, err := os.ReadDir(common); err != nil {
			return err
		}
		if i%3 == 0 {
			if err := os.Remove(path + "r"); err != nil {
				return err
			}
		}
	}
	return nil
})

func TestManyClientsAreServed(t *testing.T) {
	m := harness.New(t, 2)
	harness.Mkdir(t, m.Fallbacks[0]+"/common")
	harness.Mkdir(t, m.Fallbacks[1]+"/low")
	m.Up()
	const clients = 32
	var cmds []*exec.Cmd
	for i := range clients {
		own := m.Path(fmt.Sprintf("%s/own%d", []string{"", "low"}[i%2], i))
		cmd := client.Cmd(own, m.Path("common"), fmt.Sprint("c", i))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("client %d: %v", i, err)
		}
	}
	if n := len(harness.List(t, m.Path("common"))); n != clients*30 {
		t.Errorf("%d files in common, want %d", n, clients*30)
	}
	compareWithTiers(t, m)
	m.Down()
}

// compareWithTiers fails the test unless the mount shows just what the tiers
// hold.
func compareWithTiers(t *testing.T, m *harness.Mount) {
	t.Helper()
	want := map[string]string{}
	for i := len(m.Tiers) - 1; i >= 0; i-- {
		collect(t, m.Tiers[i], want)
	}
	got := map[string]string{}
	collect(t, m.Dir, got)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: the mount has %.20q, the tiers have %.20q", name, got[name], text)
		}
	}
	for name := range got {
		if _, in := want[name]; !in {
			t.Errorf("%s: only in the mount", name)
		}
	}
}

func collect(t *testing.T, root string, into map[string]string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, root)
		switch {
		case err != nil:
			return err
		case rel == "/.tierfs":
			return filepath.SkipDir
		case d.IsDir():
			into[rel] = "directory"
		default:
			into[rel] = harness.Read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
