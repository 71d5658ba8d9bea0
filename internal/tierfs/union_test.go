package tierfs

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMergeAttr(t *testing.T) {
	at := func(sec, nsec int64) unix.Timespec { return unix.Timespec{Sec: sec, Nsec: nsec} }
	high := unix.Stat_t{Mode: unix.S_IFDIR | 0750, Uid: 1, Gid: 2, Ino: 3, Dev: 4, Size: 5, Blksize: 6, Blocks: 8, Nlink: 3,
		Atim: at(10, 0), Mtim: at(10, 5), Ctim: at(20, 0)}
	low := unix.Stat_t{Mode: unix.S_IFDIR | 0777, Uid: 9, Gid: 9, Ino: 9, Dev: 9, Size: 9, Blksize: 9, Blocks: 16, Nlink: 4,
		Atim: at(99, 0), Mtim: at(10, 6), Ctim: at(19, 999999999)}
	got := high
	mergeAttr(&got, &low)
	want := high
	want.Blocks, want.Nlink, want.Mtim = 24, 7, at(10, 6)
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// find(1) takes st_nlink - 2 for the number of subdirectories, and 1 for
// unknown (btrfs): that must not become something else.
func TestMergedLinkCountIsUnknownIfOneIs(t *testing.T) {
	for _, c := range [][3]unix.Stat_t{
		{{Nlink: 2}, {Nlink: 2}, {Nlink: 4}}, {{Nlink: 1}, {Nlink: 5}, {Nlink: 1}},
		{{Nlink: 5}, {Nlink: 1}, {Nlink: 1}}, {{Nlink: 1}, {Nlink: 1}, {Nlink: 1}},
	} {
		high, low, want := c[0], c[1], c[2]
		if mergeAttr(&high, &low); high.Nlink != want.Nlink {
			t.Errorf("%d and %d make %d, want %d", c[0].Nlink, low.Nlink, high.Nlink, want.Nlink)
		}
	}
}

func TestLater(t *testing.T) {
	for _, c := range []struct {
		a, b unix.Timespec
		want bool
	}{
		{unix.Timespec{Sec: 2}, unix.Timespec{Sec: 1, Nsec: 5}, true}, {unix.Timespec{Sec: 1, Nsec: 5}, unix.Timespec{Sec: 2}, false},
		{unix.Timespec{Sec: 1, Nsec: 6}, unix.Timespec{Sec: 1, Nsec: 5}, true}, {unix.Timespec{Sec: 1}, unix.Timespec{Sec: 1}, false},
		{unix.Timespec{Sec: -1}, unix.Timespec{Sec: -2, Nsec: 9}, true},
	} {
		if got := later(c.a, c.b); got != c.want {
			t.Errorf("%v later than %v: %v", c.a, c.b, got)
		}
	}
}

func TestSplit(t *testing.T) {
	ranks := func(all []copyAt) (r []int) {
		for _, c := range all {
			r = append(r, c.rank)
		}
		return r
	}
	for _, c := range []struct {
		all                 []int
		home                int
		higher, same, lower []int
	}{
		{nil, 1, nil, nil, nil},
		{[]int{0, 1, 2}, 1, []int{0}, []int{1}, []int{2}},
		{[]int{0, 1, 2, 3}, 0, nil, []int{0}, []int{1, 2, 3}},
		{[]int{0, 1, 2}, 2, []int{0, 1}, []int{2}, nil},
		{[]int{0, 3}, 2, []int{0}, nil, []int{3}},
		{[]int{2}, 1, nil, nil, []int{2}},
		{[]int{0}, 1, []int{0}, nil, nil},
	} {
		var all []copyAt
		for _, rank := range c.all {
			all = append(all, copyAt{rank: rank})
		}
		higher, same, lower := split(all, c.home)
		if !slices.Equal(ranks(higher), c.higher) || !slices.Equal(ranks(same), c.same) || !slices.Equal(ranks(lower), c.lower) {
			t.Errorf("%v at home on %d: %v %v %v, want %v %v %v", c.all, c.home, ranks(higher), ranks(same), ranks(lower), c.higher, c.same, c.lower)
		}
	}
}

func TestSameKind(t *testing.T) {
	d, f, l := copyAt{st: unix.Stat_t{Mode: unix.S_IFDIR}}, copyAt{st: unix.Stat_t{Mode: unix.S_IFREG}}, copyAt{st: unix.Stat_t{Mode: unix.S_IFLNK}}
	for _, c := range []struct {
		all  []copyAt
		want bool
	}{{nil, true}, {[]copyAt{d, d}, true}, {[]copyAt{f, l}, true}, {[]copyAt{f, d}, false}, {[]copyAt{d, d, l}, false}} {
		if got := sameKind(c.all); got != c.want {
			t.Errorf("%v: %v", c.all, got)
		}
	}
}
