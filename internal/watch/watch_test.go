package watch

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heard notes what it is told.
type heard struct {
	mu    sync.Mutex
	names []string
	objs  []Object
	lost  int
	ended error
}

func (h *heard) Named(n Name)     { h.mu.Lock(); defer h.mu.Unlock(); h.names = append(h.names, n.Name) }
func (h *heard) Changed(o Object) { h.mu.Lock(); defer h.mu.Unlock(); h.objs = append(h.objs, o) }
func (h *heard) Lost()            { h.mu.Lock(); defer h.mu.Unlock(); h.lost++ }
func (h *heard) Ended(err error)  { h.mu.Lock(); defer h.mu.Unlock(); h.ended = err }

func (h *heard) eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		done := ok()
		h.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not told of %s", what)
		}
	}
}

// open watches the filesystem of a fresh directory. Events of this process are
// told too, as if it were another.
func open(t *testing.T) (w *Watch, h *heard, dir string) {
	dir = t.TempDir()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if w, err = Open(fd); err != nil {
		t.Skip(err)
	}
	t.Cleanup(w.Close)
	w.own = -1
	h = &heard{}
	return w, h, dir
}

func objectOf(t *testing.T, path string) Object {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return Object{st.Dev, st.Ino}
}

func TestNamesAndChangesAreTold(t *testing.T) {
	w, h, dir := open(t)
	w.Run(h)
	f := filepath.Join(dir, "watched-name")
	if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := objectOf(t, f)
	h.eventually(t, "the name", func() bool { return slices.Contains(h.names, "watched-name") })
	h.eventually(t, "the content", func() bool { return slices.Contains(h.objs, o) })
}

// What is open in the mount is not told of while it is written, and again
// afterwards.
func TestWritesCanBeIgnored(t *testing.T) {
	w, h, dir := open(t)
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := objectOf(t, f.Name())
	if err := w.Ignore(int(f.Fd())); err != nil {
		t.Skip(err) // before Linux 6.0
	}
	w.Run(h)
	count := func() (n int) {
		for _, x := range h.objs {
			if x == o {
				n++
			}
		}
		return n
	}
	f.Write([]byte("ignored"))
	f.Chmod(0o640)
	h.eventually(t, "the mode", func() bool { return count() == 1 })
	if err := w.Heed(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("heeded"))
	h.eventually(t, "the write", func() bool { return count() == 2 })
}

func TestOwnEventsAreLeftOut(t *testing.T) {
	w, h, dir := open(t)
	w.own = int32(os.Getpid())
	w.Run(h)
	os.WriteFile(filepath.Join(dir, "own-name"), []byte("x"), 0o600)
	h.eventually(t, "own events", func() bool { return w.Counts().Own >= 2 })
	if slices.Contains(h.names, "own-name") {
		t.Error("told of an event of our own")
	}
}

// A watch that fails says so, once.
func TestNumberThatIsBeingGivenOut(t *testing.T) {
	left := 3
	fd, err := whenMade(func() (int, error) {
		if left--; left >= 0 {
			return -1, unix.ENOMEM
		}
		return 7, nil
	})
	if fd != 7 || err != nil {
		t.Errorf("%d, %v after three times ENOMEM", fd, err)
	}
	if _, err := whenMade(func() (int, error) { return -1, unix.ENOMEM }); err != unix.ENOMEM {
		t.Errorf("%v of what is ENOMEM for good", err)
	}
}

func TestEndIsTold(t *testing.T) {
	w, h, _ := open(t)
	w.Run(h)
	w.Stop()
	h.eventually(t, "the end", func() bool { return h.ended != nil })
}

// FuzzParse: events come from the kernel, but what would make us read past the
// end must not be one wrong length away.
func FuzzParse(f *testing.F) {
	one := make([]byte, 24+4+8+8+8+8)
	order.PutUint32(one, uint32(len(one)))
	one[4] = unix.FANOTIFY_METADATA_VERSION
	order.PutUint16(one[6:], 24)
	order.PutUint64(one[8:], unix.FAN_CREATE)
	one[24] = unix.FAN_EVENT_INFO_TYPE_DFID_NAME
	order.PutUint16(one[26:], uint16(len(one)-24))
	order.PutUint32(one[36:], 8)
	copy(one[52:], "name\x00")
	f.Add(one)
	f.Add(one[:30])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := parse(b, func(e event) {
			n++
			if e.handle != nil && len(e.handle) < 4 {
				t.Errorf("a handle of %d bytes", len(e.handle))
			}
			if slices.Contains(e.name, 0) {
				t.Errorf("name %q", e.name)
			}
		})
		if err == nil && n*metadataSize > len(b) {
			t.Errorf("%d events in %d bytes", n, len(b))
		}
	})
}

func TestParseReadsNameAndHandle(t *testing.T) {
	one := make([]byte, 24+4+8+8+8+8)
	order.PutUint32(one, uint32(len(one)))
	one[4] = unix.FANOTIFY_METADATA_VERSION
	order.PutUint16(one[6:], 24)
	order.PutUint32(one[20:], 77)
	one[24] = unix.FAN_EVENT_INFO_TYPE_DFID_NAME
	order.PutUint16(one[26:], uint16(len(one)-24))
	order.PutUint32(one[36:], 8)
	copy(one[44:], "HANDLE..name\x00")
	var got event
	if err := parse(append(one, one...), func(e event) { got = e }); err != nil {
		t.Fatal(err)
	}
	if got.pid != 77 || string(got.name) != "name" || string(got.handle[4:]) != "HANDLE.." {
		t.Errorf("got %d %q %q", got.pid, got.name, got.handle)
	}
}

// What is done in a directory of our own is not told of, and what leaves it is.
func TestADirectoryCanBeIgnored(t *testing.T) {
	w, h, dir := open(t)
	private := filepath.Join(dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(private)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := w.IgnoreIn(int(d.Fd())); err != nil {
		t.Skip(err) // before Linux 6.0
	}
	w.Run(h)
	staged, placed := filepath.Join(private, "staged"), filepath.Join(dir, "placed")
	if err := os.WriteFile(staged, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(staged, 0o640); err != nil {
		t.Fatal(err)
	}
	o := objectOf(t, staged)
	if err := os.WriteFile(filepath.Join(dir, "beside"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.eventually(t, "the file beside it", func() bool { return slices.Contains(h.objs, objectOf(t, filepath.Join(dir, "beside"))) })
	h.mu.Lock()
	if slices.Contains(h.names, "staged") || slices.Contains(h.objs, o) {
		t.Errorf("told of %q and %v, which is %v", h.names, h.objs, o)
	}
	h.mu.Unlock()
	if err := os.Rename(staged, placed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(placed, []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	h.eventually(t, "the new name", func() bool { return slices.Contains(h.names, "placed") })
	h.eventually(t, "what was written under it", func() bool { return slices.Contains(h.objs, o) })
}
