package attacks

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// takeAll opens what it can in the given way until it is refused or has limit,
// says how many and why it stopped, and keeps it until its input ends.
var takeAll = harness.Func("takeAll", func(args []string) error {
	dir, how := args[0], args[1]
	limit, _ := strconv.Atoi(args[2])
	own := unix.Rlimit{Cur: 20000, Max: 20000}
	unix.Setrlimit(unix.RLIMIT_NOFILE, &own)
	var err error
	n := 0
	for ; n < limit && err == nil; n++ {
		path := fmt.Sprintf("%s/%d", dir, n)
		switch how {
		case "files":
			_, err = unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600)
		case "handles":
			_, err = unix.Open(dir+"/one", unix.O_CREAT|unix.O_RDWR|unix.O_APPEND, 0o600)
		case "directories":
			_, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		case "removed": // looked up, not opened, and removed
			var fd int
			if fd, err = unix.Open(path, unix.O_CREAT|unix.O_RDWR, 0o600); err == nil {
				unix.Close(fd)
				_, err = unix.Open(path, unix.O_PATH, 0)
				unix.Unlink(path)
			}
		}
	}
	fmt.Printf("%d %d\n", n, errno(err))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
})

// TestOneUserCannotShutTheOthersOut: a user opens all that he can. What the
// daemon has for files was gone then, for everybody.
func TestOneUserCannotShutTheOthersOut(t *testing.T) {
	for _, opts := range []string{"passthrough=auto", "passthrough=off"} {
		for _, how := range []string{"files", "handles", "directories", "removed"} {
			t.Run(how+" "+opts, func(t *testing.T) {
				m := harness.New(t, 1, opts)
				for _, tier := range m.Tiers {
					for i, uid := range []int{mallory, 54390, 54391} {
						dir := fmt.Sprintf("%s/%d", tier, i)
						harness.Mkdir(t, dir)
						harness.Chown(t, dir, uid, uid)
					}
				}
				m.UpWithFiles(600)
				var ends []func()
				first := 0
				for i, uid := range []int{mallory, 54390, 54391} {
					got, why, end := greedy(t, uid, m.Path(fmt.Sprint(i)), how)
					ends = append(ends, end)
					first = max(first, got)
					if (how == "files" || how == "handles") && (why != unix.ENFILE && why != unix.EMFILE || got < 5) {
						t.Errorf("user %d took %d, then %v", uid, got, why)
					}
				}
				serves(t, m)
				checkDeep(t, m)
				for _, end := range ends {
					end()
				}
				harness.Eventually(t, "as much is there again", func() bool {
					got, _, end := greedy(t, mallory, m.Path("0"), how)
					end()
					return got >= first
				})
			})
		}
	}
}

func greedy(t *testing.T, uid int, dir, how string) (got int, why unix.Errno, end func()) {
	t.Helper()
	cmd := takeAll.As(uid, uid, dir, how, "1500")
	in, out := startPiped(t, cmd)
	var e int
	if _, err := fmt.Fscan(out, &got, &e); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			in.Close()
			cmd.Wait()
		}
	}
	t.Cleanup(end)
	return got, unix.Errno(e), end
}

// checkDeep goes where nobody has been, which takes descriptors on the way.
func checkDeep(t *testing.T, m *harness.Mount) {
	t.Helper()
	harness.Mkdir(t, m.Fallbacks[0]+"/deep/"+strings.Repeat("d/", 50))
	harness.Write(t, m.Path("deep/"+strings.Repeat("d/", 50)+"f"), "x")
}
