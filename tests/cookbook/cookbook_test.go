// Package cookbook runs the recipes of docs/cookbook.md, command by command, as
// they stand there: with the real programs, on disks that are mounted at the
// paths which the document names, in a /srv, a /root and a network of its own.
package cookbook

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.MainWithNetwork(m) }

// recipes are the sections of the document by their titles, each with what an
// administrator would do, and look at, between its commands.
var recipes = map[string]func(r *recipe){
	"Over an existing path":                    overPath,
	"Over the mount point of a disk":           overDisk,
	"Three tiers":                              threeTiers,
	"A Samba share":                            sambaShare,
	"A fallback on another machine, by SSHFS":  sshfs,
	"A fallback on object storage, by rclone":  rclone,
	"An encrypted backup elsewhere":            encrypted,
	"Several trees in one backup":              collected,
	"From a script that leaves symbolic links": fromLinks,
	"From mergerfs":                            fromMergerfs,
}

func TestRecipes(t *testing.T) {
	text, err := os.ReadFile("../../docs/cookbook.md")
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(recipes)
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		delete(left, title)
		t.Run(title, func(t *testing.T) {
			try := recipes[title]
			if try == nil {
				t.Fatal("nothing tries this recipe")
			}
			r := &recipe{t: t, blocks: blocksOf(body), seen: mountIDs()}
			try(r)
			if r.left() {
				t.Errorf("not run: %q", r.blocks)
			}
		})
	}
	for title := range left {
		t.Errorf("no recipe %q in the document", title)
	}
}

// blocksOf are the indented blocks of a section, without the indent. A command
// is a block of its own.
func blocksOf(body string) (blocks [][]string) {
	within := false
	for line := range strings.Lines(body) {
		line, indented := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if indented && (!within || isCommand(line)) {
			blocks = append(blocks, nil)
		}
		if indented {
			blocks[len(blocks)-1] = append(blocks[len(blocks)-1], line)
		}
		within = indented
	}
	return blocks
}

func isCommand(line string) bool { return strings.HasPrefix(line, "# ") }
