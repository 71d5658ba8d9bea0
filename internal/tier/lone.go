package tier

import (
	"fmt"
	"strings"
)

// lone judges the only tier of a mount. It has no members and writes nothing;
// but the directory may be a member of a set whose other tiers are left out. What
// it keeps for those is shown: the mount may be a tier itself, of that very set,
// which knows it by the mount point then and not by the tier.
func (g *guard) lone() (*JoinResult, error) {
	s, err := look(g.roots[0])
	if err != nil {
		return nil, err
	}
	j := &JoinResult{Owner: true, at: g.at, Members: []Identity{{FSID: s.fsid, RootInode: s.inode}}}
	if s.readMark() != nil || !s.listed() {
		return j, nil
	}
	var paths []string
	for _, m := range inOrder(s.rec.Members) {
		if m.ID == s.rec.ID && string(m.Path) == g.at && g.at != s.Path {
			return j, nil
		}
		if m.State == stateServed {
			paths = append(paths, strings.ReplaceAll(string(m.Path), ":", `\:`))
		}
	}
	if len(paths) > 1 {
		j.Warnings = append(j.Warnings, fmt.Sprintf("tier %s: a member of the set of %s, and the files on the others are not shown; mount %s with fallback=%s to show them",
			show(s.Path), memberPaths(s.rec.Members), show(paths[0]), show(strings.Join(paths[1:], ":"))))
	}
	return j, nil
}
