package mover

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// lasts knows when files were opened last, for age=opened. Backups read access
// times up to now; nothing but our own memory tells a use from a backup's
// reading, so it has to outlive the mount: it is saved in one file of the
// primary, whole, every few minutes and at the end.
//
// What a crash loses is the opens since the last saving: a file is then as old
// as its opens before say, which is wrong by minutes where policies speak of
// days.
//
// It is bounded. The files opened longest ago are forgotten first, and what is
// forgotten is as old as its last change.
type lasts struct {
	mu      sync.Mutex
	at      map[lastKey]uint32 // seconds since 1970; GUARDED_BY(mu)
	changed bool               // since it was saved; GUARDED_BY(mu)
}

// maxLasts files cost some 10 MiB. Half of them go at a time.
const maxLasts = 1 << 18

// lastKey names a file over mounts, in which devices have other numbers.
type lastKey struct {
	ino  uint64
	rank uint32
}

func newLasts() *lasts { return &lasts{at: map[lastKey]uint32{}} }

func (l *lasts) set(key fileKey, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.at) >= maxLasts {
		l.forget()
	}
	l.at[lastKey{key.ino, uint32(key.rank)}] = uint32(now.Unix())
	l.changed = true
}

func (l *lasts) get(key fileKey) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, known := l.at[lastKey{key.ino, uint32(key.rank)}]; known {
		return time.Unix(int64(at), 0)
	}
	return time.Time{}
}

// forget drops the half that was opened longest ago.
//
// LOCKS_REQUIRED(l.mu)
func (l *lasts) forget() {
	times := make([]uint32, 0, len(l.at))
	for _, at := range l.at {
		times = append(times, at)
	}
	slices.Sort(times)
	middle := times[len(times)/2]
	for key, at := range l.at {
		if at <= middle {
			delete(l.at, key)
		}
	}
}

// The file: a magic word, rows of 16 bytes, a checksum of all that. Its place
// is .tierfs/mover on the primary.
const (
	lastsDir   = "mover"
	lastsName  = "opened"
	lastsNew   = "opened.new"
	lastsMagic = "tierfs opened 1\n"
	lastsRow   = 16
)

// save writes the file, if anything has changed since it was.
func (l *lasts) save(t *tier.Tier) error {
	text, changed := l.encode()
	if !changed {
		return nil
	}
	if err := writeWhole(t, text); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed = true
		return err
	}
	return nil
}

func (l *lasts) encode() (text []byte, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.changed {
		return nil, false
	}
	l.changed = false
	text = make([]byte, 0, len(lastsMagic)+len(l.at)*lastsRow+4)
	text = append(text, lastsMagic...)
	for key, at := range l.at {
		text = binary.LittleEndian.AppendUint64(text, key.ino)
		text = binary.LittleEndian.AppendUint32(text, key.rank)
		text = binary.LittleEndian.AppendUint32(text, at)
	}
	return binary.LittleEndian.AppendUint32(text, crc32.ChecksumIEEE(text)), true
}

// writeWhole replaces the file: it is the old one or the new one, whatever
// crashes.
func writeWhole(t *tier.Tier, text []byte) error {
	d, err := t.Private(lastsDir)
	if err != nil {
		return err
	}
	defer d.Put()
	f, err := d.Open(lastsNew, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0600)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.Pwrite(text, 0)
	if err == nil && n < len(text) {
		err = unix.ENOSPC
	}
	if err == nil {
		err = f.Sync(false)
	}
	if err != nil {
		return err
	}
	return d.Rename(lastsNew, d, lastsName, 0)
}

var errNoLasts = errors.New("not a record of opens; starting with none")

// load reads what an earlier daemon has saved. What was opened since counts
// for more. A file that is not there is no error.
func (l *lasts) load(t *tier.Tier) error {
	d, err := t.Private(lastsDir)
	if err != nil {
		return err
	}
	defer d.Put()
	f, err := d.Open(lastsName, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	read, err := decodeLasts(io.NewSectionReader(readerAt{f}, 0, int64(len(lastsMagic)+maxLasts*lastsRow+4)))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, at := range read {
		if _, known := l.at[key]; !known && len(l.at) < maxLasts {
			l.at[key] = at
		}
	}
	return nil
}

// readerAt is io.ReaderAt of a file of a tier.
type readerAt struct{ *tier.File }

func (r readerAt) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.Pread(b, off)
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

// decodeLasts reads a file, or nothing of one that is damaged.
func decodeLasts(r io.Reader) (map[lastKey]uint32, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	rows := len(text) - len(lastsMagic) - 4
	if rows < 0 || rows%lastsRow != 0 || string(text[:len(lastsMagic)]) != lastsMagic ||
		crc32.ChecksumIEEE(text[:len(text)-4]) != binary.LittleEndian.Uint32(text[len(text)-4:]) {
		return nil, errNoLasts
	}
	all := make(map[lastKey]uint32, rows/lastsRow)
	for b := text[len(lastsMagic) : len(text)-4]; len(b) > 0; b = b[lastsRow:] {
		all[lastKey{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])}] = binary.LittleEndian.Uint32(b[12:])
	}
	return all, nil
}
