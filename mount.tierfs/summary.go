package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/tierfs/tierfs/internal/control"
	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/human"
)

// maxNamed is how many files of a lot a summary names: so many show what
// kind of files they are.
const maxNamed = 3

// summary is what a plan or a dry run says of files that are too many to list.
type summary struct {
	lots map[fate]*lot
}

// fate is what files have in common: where they would go, or why they stay.
type fate struct {
	skip     string
	from, to int // if they would move
}

// lot is the files of one fate.
type lot struct {
	files int
	bytes int64
	named []control.File // the first of them
}

func newSummary() *summary { return &summary{lots: map[fate]*lot{}} }

func (s *summary) add(f control.File) {
	key := fate{skip: f.Skip}
	if f.Skip == "" {
		key.from, key.to = f.From, f.To
	}
	l := s.lots[key]
	if l == nil {
		l = &lot{}
		s.lots[key] = l
	}
	l.files++
	l.bytes += max(f.Bytes, 0)
	if len(l.named) < maxNamed {
		l.named = append(l.named, f)
	}
}

// print shows what would move first, then what stays, the largest lot first.
func (s *summary) print(w io.Writer) {
	var fates []fate
	for key := range s.lots {
		fates = append(fates, key)
	}
	slices.SortFunc(fates, func(a, b fate) int {
		if (a.skip == "") != (b.skip == "") {
			return cmp.Compare(a.skip, b.skip)
		}
		return cmp.Or(cmp.Compare(s.lots[b].files, s.lots[a].files), cmp.Compare(a.skip, b.skip),
			cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	for _, key := range fates {
		s.lots[key].print(w, key)
	}
}

func (l *lot) print(w io.Writer, key fate) {
	what := "stay, " + reason(key.skip, "")
	if key.skip == "" {
		what = fmt.Sprintf("would move from tier %d to tier %d", key.from, key.to)
	}
	fmt.Fprintf(w, "%s: %s, %s\n", what, human.Count(l.files, "file"), human.Bytes(l.bytes))
	for _, f := range l.named {
		fmt.Fprintf(w, "  %s, %s\n", daemon.PrintableName(string(f.Path)), human.Bytes(f.Bytes))
	}
	if more := l.files - len(l.named); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}
