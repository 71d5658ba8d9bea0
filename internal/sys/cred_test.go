package sys

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// needRoot skips a test that makes what only root may make, or fails it where
// TIERFS_REQUIRE says that root must be there.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const why = "only root may change its fsuid"
	if slices.Contains(strings.Split(os.Getenv("TIERFS_REQUIRE"), ","), "root") {
		t.Fatalf("root is required: %s", why)
	}
	t.Skipf("missing root: %s", why)
}

// wantIDs checks the fsuid and fsgid of the calling thread.
func wantIDs(t *testing.T, when string, uid, gid int) {
	t.Helper()
	nowUID, _ := unix.SetfsuidRetUid(-1)
	nowGID, _ := unix.SetfsgidRetGid(-1)
	if nowUID != uid || nowGID != gid {
		t.Errorf("%s: fsuid %d, fsgid %d, want %d and %d", when, nowUID, nowGID, uid, gid)
	}
}

// keepThread keeps the test on one thread, whose IDs it looks at.
func keepThread(t *testing.T) {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
}

func TestAsUserIsTheUserInsideAndItselfAfter(t *testing.T) {
	needRoot(t)
	keepThread(t)
	file := filepath.Join(t.TempDir(), "file")
	want := errors.New("what fn says")
	err := AsUser(1234, 5678, func() error {
		wantIDs(t, "inside", 1234, 5678)
		return want
	})
	if err != want {
		t.Errorf("AsUser says %v, want fn's error", err)
	}
	wantIDs(t, "after an error", 0, 0)
	_ = AsNobody(func() error {
		wantIDs(t, "as nobody", Nobody, 0)
		return nil
	})
	wantIDs(t, "after that", 0, 0)
	if err := os.WriteFile(file, nil, 0600); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 0 || sys.Gid != 0 {
		t.Errorf("a file made afterwards belongs to %d:%d", sys.Uid, sys.Gid)
	}
}

func TestAsUserGivesTheUserWhatItMakes(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0777); err != nil {
		t.Fatal(err)
	}
	fd, err := Open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err = AsUser(1234, 5678, func() error { return unix.Mkdirat(fd, "made", 0755) })
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, "made", &st, 0); err != nil {
		t.Fatal(err)
	}
	if st.Uid != 1234 || st.Gid != 5678 {
		t.Errorf("made belongs to %d:%d", st.Uid, st.Gid)
	}
}

// An op that panics is answered with EIO and its thread serves on: as whom it
// does so must not depend on where it panicked.
func TestAsUserIsItselfAfterAPanic(t *testing.T) {
	needRoot(t)
	keepThread(t)
	func() {
		defer func() {
			if p := recover(); p != "inside" {
				t.Errorf("recovered %v", p)
			}
		}()
		AsUser(1234, 5678, func() error { panic("inside") })
	}()
	wantIDs(t, "after a panic", 0, 0)
}

func TestAsUserNests(t *testing.T) {
	needRoot(t)
	keepThread(t)
	err := AsUser(1234, 5678, func() error {
		err := AsUser(0, 5678, func() error {
			wantIDs(t, "within the inner", 0, 5678)
			return nil
		})
		wantIDs(t, "after the inner", 1234, 5678)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	wantIDs(t, "after both", 0, 0)
}

// restore must notice a thread that is not who it was: the caller then leaves
// the thread locked, and it dies with its goroutine.
func TestRestoreNoticesAThreadThatStays(t *testing.T) {
	if os.Geteuid() == 0 {
		needRoot(t)
		keepThread(t)
		if !restore(0, 0) {
			t.Error("restore(0, 0) failed as root")
		}
		if restore(-1, 0) { // -1 is nobody's ID: setfsuid(2) leaves things as they are
			t.Error("restore(-1, 0) took")
		}
		return
	}
	if restore(0, 0) {
		t.Error("an ordinary user became root")
	}
}
