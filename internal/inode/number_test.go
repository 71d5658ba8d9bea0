package inode

import (
	"fmt"
	"testing"
)

func TestNumbersHaveTheirRanges(t *testing.T) {
	for _, c := range []struct {
		key Key
		min uint64
		max uint64
	}{
		{Key{0, 2}, 2, 2},
		{Key{0, 1<<48 - 1}, 1<<48 - 1, 1<<48 - 1},
		{Key{1, 2}, 1<<48 | 2, 1<<48 | 2},
		{Key{1<<14 - 1, 1<<48 - 1}, 1<<62 - 1, 1<<62 - 1},
		{Key{1 << 14, 2}, 1 << 63, 3<<62 - 1},
		{Key{1, 1 << 48}, 1 << 63, 3<<62 - 1},
		{Key{2, 1<<64 - 1}, 1 << 63, 3<<62 - 1},
	} {
		if n := natural(c.key); n < c.min || n > c.max {
			t.Errorf("%v shows %#x, want %#x to %#x", c.key, n, c.min, c.max)
		}
	}
}

func TestSlotsTellTiersAndFilesystemsApart(t *testing.T) {
	table := newTable(3, false)
	seen := map[Key]string{}
	for rank := range 3 {
		for _, dev := range []uint64{testDevs[0], testDevs[1], 0x901} { // tiers may share a filesystem
			k := table.Key(rank, dev, 7)
			what := fmt.Sprintf("rank %d device %#x", rank, dev)
			if other := seen[k]; other != "" {
				t.Errorf("%s and %s share %v", what, other, k)
			}
			seen[k] = what
			if table.Key(rank, dev, 7) != k || table.Rank(k) != rank {
				t.Errorf("%s: its key is not stable, or of rank %d", what, table.Rank(k))
			}
		}
	}
	if k := table.Key(0, testDevs[0], 7); k.Slot != 0 {
		t.Errorf("the primary's own filesystem has slot %d", k.Slot)
	}
}

// Slots are made while other ops read them.
func TestSlotsAreMadeOnceByMany(t *testing.T) {
	table := newTable(1, false)
	keys := make(chan Key)
	for i := range 8 {
		go func() {
			for dev := range uint64(50) {
				table.Key(i%2, 0x1000+dev, 1)
			}
			keys <- table.Key(1, 0x1000+49, 1)
		}()
	}
	first := <-keys
	for range 7 {
		if k := <-keys; k != first {
			t.Errorf("one filesystem has the slots %d and %d", first.Slot, k.Slot)
		}
	}
	if n := len(*table.slots.Load()); n != 101 {
		t.Errorf("%d slots, want 101", n)
	}
}

// ext4 gives a new file the number of the one just removed. A program that
// holds the removed ones (O_PATH, open and unlinked) must be able to tell all
// of them apart.
func TestNumberGivenAgainAndAgainIsShownOnce(t *testing.T) {
	for _, narrow := range []bool{false, true} {
		table := newTable(2, narrow)
		for _, k := range []Key{table.testKey(0, 10), table.testKey(1, 10), table.testKey(1, 1<<60|10)} {
			seen := map[uint64]bool{}
			var held []*Inode
			for range 5 {
				in := file(table, "tmp", k)
				if seen[in.Ino] {
					t.Errorf("narrow=%v: two held files show %#x", narrow, in.Ino)
				}
				seen[in.Ino] = true
				if shown := table.Shown(k); shown != in.Ino {
					t.Errorf("narrow=%v: a listing shows %#x, stat %#x", narrow, shown, in.Ino)
				}
				held = append(held, in)
				remove(table, table.root, "tmp", k, true)
			}
			for _, in := range held {
				forget(table, in, 1)
				wantInvariants(t, table)
			}
			if in := file(table, "tmp", k); !narrow && in.Ino != natural(k) {
				t.Errorf("the number %#x is not free again: %#x", natural(k), in.Ino)
			}
		}
	}
}

// The primary may have numbers with high bits itself (CIFS, NFS), which look
// like those of another tier.
func TestHighNumbersOfThePrimaryAreNobodyElses(t *testing.T) {
	table := newTable(2, false)
	low := table.testKey(1, 5)
	ins := []*Inode{file(table, "low", low), file(table, "high", table.testKey(0, natural(low)))}
	hashed := table.testKey(1, 1<<60|5)
	ins = append(ins, file(table, "hashed", hashed), file(table, "like", table.testKey(0, natural(hashed))))
	seen := map[uint64]uint64{}
	for _, in := range ins {
		if other, taken := seen[in.Ino]; taken {
			t.Errorf("inodes %d and %d both show %#x", in.ID, other, in.Ino)
		}
		seen[in.Ino] = in.ID
	}
	wantInvariants(t, table)
}

// A file that moves to another tier keeps the number it was shown with, and
// what gets that number there is shown under another.
func TestRenamedTierKeepsTheNumberShown(t *testing.T) {
	table := newTable(2, false)
	low, high := table.testKey(1, 20), table.testKey(0, 10)
	d := dir(table, table.root, "d", low)
	was := d.Ino
	if again := dir(table, table.root, "d", high, low); again != d {
		t.Fatal("a directory made above is another inode")
	}
	if d.Ino != was || table.Shown(high) != was {
		t.Errorf("it shows %#x, a listing %#x, before %#x", d.Ino, table.Shown(high), was)
	}
	other := dir(table, table.root, "other", low)
	if other.Ino == was || other.Ino < reserved {
		t.Errorf("the number's new owner shows %#x", other.Ino)
	}
	wantInvariants(t, table)
	if again := dir(table, table.root, "d", high); again != d || again.Ino != was {
		t.Error("the directory changed with its copy")
	}
}

func TestNarrowNumbersFitAndNeverMeet(t *testing.T) {
	table := newTable(3, true)
	seen := map[uint64]bool{table.root.Ino: true}
	for i := range uint64(20000) {
		k := table.testKey(int(i%3), 3+i*0x10001*0x100) // all the same in the low bits for a while
		in := file(table, fmt.Sprint(i), k)
		if in.Ino == 0 || in.Ino>>32 != 0 || seen[in.Ino] {
			t.Fatalf("the file with key %v shows %#x", k, in.Ino)
		}
		seen[in.Ino] = true
	}
	wantInvariants(t, table)
}

// Stepping on from the last number of 32 bits must not end at 0, which means
// "removed" to old programs.
func TestNarrowNumberGoesRoundWithoutZero(t *testing.T) {
	table := newTable(1, true)
	k := table.testKey(0, 0xffffffff)
	for i, want := range []uint64{0xffffffff, 1, 3} { // 2 is the root's
		in := file(table, "a", k)
		if in.Ino != want {
			t.Errorf("file %d shows %#x, want %#x", i, in.Ino, want)
		}
		remove(table, table.root, "a", k, true)
	}
	wantInvariants(t, table)
}

func TestUnseenNumberIsWhatALookupWillShow(t *testing.T) {
	for _, narrow := range []bool{false, true} {
		table := newTable(2, narrow)
		for i, k := range []Key{table.testKey(0, 10), table.testKey(1, 10), table.testKey(1, 1<<60|1), table.testKey(0, 0)} {
			shown := table.Shown(k)
			if in := file(table, fmt.Sprint(i), k); in.Ino != shown {
				t.Errorf("narrow=%v %v: a listing shows %#x, stat %#x", narrow, k, shown, in.Ino)
			}
		}
	}
}
