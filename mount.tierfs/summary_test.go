package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/internal/control"
)

func TestSummaryGroupsByTargetAndReason(t *testing.T) {
	s := newSummary()
	for i := range 5 {
		s.add(control.File{Path: control.Name(fmt.Sprintf("/m/old%d", i)), To: 1, Bytes: 1 << 20})
		s.add(control.File{Path: control.Name(fmt.Sprintf("/m/young%d", i)), Skip: "young", Bytes: 1})
	}
	s.add(control.File{Path: "/m/up\x1b", From: 2, Bytes: 7})
	s.add(control.File{Path: "/m/open", From: 1, Skip: "open", Bytes: 3})
	s.add(control.File{Path: "/m/low", From: 2, Skip: "open", Bytes: 3})
	var b strings.Builder
	s.print(&b)
	const want = `would move from tier 0 to tier 1: 5 files, 5 MiB
  /m/old0, 1 MiB
  /m/old1, 1 MiB
  /m/old2, 1 MiB
  and 2 more
would move from tier 2 to tier 0: 1 file, 7 B
  /m/up\x1b, 7 B
stay, not old enough for the policy: 5 files, 5 B
  /m/young0, 1 B
  /m/young1, 1 B
  /m/young2, 1 B
  and 2 more
stay, open through the mount: 2 files, 6 B
  /m/open, 3 B
  /m/low, 3 B
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}
