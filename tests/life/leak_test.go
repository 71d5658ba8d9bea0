package life

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
	"golang.org/x/sys/unix"
)

// regular counts the daemon's descriptors of files below a directory.
func regular(m *harness.Mount, below string) int {
	n := 0
	for _, target := range m.FDs() {
		if strings.HasPrefix(target, below+"/") {
			n++
		}
	}
	return n
}

func TestThousandOpensLeakNoDescriptor(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		m := harness.New(t, 1, opts)
		dir := m.Fallbacks[0] + "/d"
		harness.Mkdir(t, dir)
		for i := range 250 {
			harness.Write(t, fmt.Sprintf("%s/%d", dir, i), "x")
		}
		m.Up()
		for i := range 1000 {
			path := fmt.Sprintf("%s/%d", m.Path("d"), i%250)
			f, err := os.OpenFile(path, []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_TRUNC}[i/250], 0)
			if err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				f.Write([]byte("y"))
			}
			f.Close()
		}
		harness.Eventually(t, opts+": the files are closed again", func() bool { return regular(m, dir) == 0 })
		m.Down()
	}
}

func TestManyOpenAtOnceAreAllReleased(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	var files []*os.File
	for i := range 300 {
		f, err := os.Create(m.Path(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		again, err := os.Open(m.Path(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, again)
	}
	if n := regular(m, m.Primary); n < 300 {
		t.Errorf("the daemon holds %d files of 300: the test looks at the wrong thing", n)
	}
	for i, f := range files {
		if i%4 == 0 {
			os.Remove(f.Name())
		}
		f.Close()
	}
	m.Down()
}

func TestFailedOpensLeakNoDescriptor(t *testing.T) {
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/f", "x")
	harness.Symlink(t, "loop", m.Primary+"/loop")
	harness.Chmod(t, m.Primary, 0o755)
	m.Up()
	for range 100 {
		for _, open := range []struct {
			name  string
			flags int
		}{
			{"missing", os.O_RDONLY}, {"f", os.O_RDWR | os.O_CREATE | os.O_EXCL}, {"loop", os.O_RDONLY},
			{"f/below", os.O_RDONLY}, {".", os.O_RDWR}, {strings.Repeat("n", 256), os.O_RDWR | os.O_CREATE},
			{".tierfs", os.O_RDWR | os.O_CREATE}, {"f", unix.O_DIRECTORY}, {"missing/new", os.O_RDWR | os.O_CREATE},
		} {
			if f, err := os.OpenFile(m.Path(open.name), open.flags, 0o644); err == nil {
				f.Close()
				t.Fatalf("open %s with %o works", open.name, open.flags)
			}
		}
	}
	m.Down()
}

// A cache of directories is kept; it must have a bound.
func TestWalkOfManyDirectoriesKeepsABoundedNumberOpen(t *testing.T) {
	m := harness.New(t, 1)
	for i := range 600 {
		harness.Mkdir(t, fmt.Sprintf("%s/%d/%d", m.Tiers[i%2], i%20, i))
	}
	m.UpWithFiles(400) // so that the bound shows
	for range 2 {
		got := harness.Must(t, "find", m.Dir, "-type", "d")
		if n := strings.Count(got, "\n"); n != 1+20+600 {
			t.Errorf("find sees %d directories, want %d", n, 1+20+600)
		}
	}
	if n := len(m.FDs()); n > 200 {
		t.Errorf("%d descriptors are open of 400 that it may have", n)
	}
	m.Down()
}

func TestListingsLeftHalfReadAreReleased(t *testing.T) {
	m := harness.New(t, 1)
	for i := range 300 {
		harness.Write(t, fmt.Sprintf("%s/%d", m.Tiers[i%2], i), "")
	}
	m.Up()
	for range 100 {
		d, err := os.Open(m.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Readdirnames(10); err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	m.Down()
}
