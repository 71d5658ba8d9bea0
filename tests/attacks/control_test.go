package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// socketOf is the control socket of a mount by uid.
func socketOf(m *harness.Mount, uid int) string {
	dir := "/run/tierfs"
	if uid != 0 {
		dir = fmt.Sprintf("/run/user/%d/tierfs", uid)
	}
	return dir + "/" + strings.Replace(harness.MountsAt(m.Dir)[0].Dev, ":", "-", 1) + ".sock"
}

// crowd connects to a socket as often as it can, and keeps all it gets: some
// say nothing, some half a request. It says how many it keeps.
var crowd = harness.Func("crowd", func(args []string) error {
	var kept []net.Conn
	for i := range 1000 {
		conn, err := net.DialTimeout("unix", args[0], time.Second)
		if err != nil {
			break
		}
		if i%2 == 0 {
			io.WriteString(conn, "POST /v1/remount HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		}
		kept = append(kept, conn)
	}
	fmt.Println(len(kept))
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
})

// TestCrowdOnTheControlSocketTakesNoDescriptors: somebody connects thousands of
// times, after an administrator has opened the socket to all.
func TestCrowdOnTheControlSocketTakesNoDescriptors(t *testing.T) {
	for _, uid := range []int{mallory, 0} {
		m := harness.New(t, 1)
		m.UpWithFiles(600)
		socket := socketOf(m, 0)
		harness.Chmod(t, filepath.Dir(socket), 0o777)
		harness.Chmod(t, socket, 0o666)
		before := len(m.FDs())
		cmd := crowd.As(uid, uid, socket)
		in, out := startPiped(t, cmd)
		bufio.NewReader(out).ReadString('\n')
		if n := len(m.FDs()) - before; n > 100 {
			t.Errorf("user %d has %d descriptors of the daemon by its control socket", uid, n)
		}
		serves(t, m)
		if uid != 0 {
			harness.Must(t, harness.CLI, "status", m.Dir)
		}
		in.Close()
		cmd.Wait()
		harness.Eventually(t, "root is answered when they have left", func() bool {
			_, _, code := harness.Run(t, harness.CLI, "status", m.Dir)
			return code == 0
		})
		harness.Chmod(t, filepath.Dir(socket), 0o700)
		m.Down()
	}
}

// TestHostileRequestsEndAndHarmNobody: huge headers, a body without end, and
// what is no HTTP at all.
func TestHostileRequestsEndAndHarmNobody(t *testing.T) {
	m := harness.New(t, 1)
	m.Up()
	endless := func(head, more string) func(io.Writer) {
		return func(w io.Writer) {
			io.WriteString(w, head)
			for range 1 << 20 {
				if _, err := io.WriteString(w, more); err != nil {
					return
				}
			}
		}
	}
	long := strings.Repeat("x", 4096)
	for name, send := range map[string]func(io.Writer){
		"headers": endless("GET /v1/status HTTP/1.1\r\nHost: x\r\n", "X-"+long+": y\r\n"),
		"line":    endless("GET /", long),
		"body":    endless("POST /v1/remount HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n[", long),
		"chunks":  endless("POST /v1/remount HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n"+long+"\r\n"),
		"noise":   endless("\x00\xff\r\n\r\n", "\x16\x03\x01"+long),
		"deep":    endless("POST /v1/remount HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n", strings.Repeat("[", 4096)),
	} {
		conn, err := net.Dial("unix", socketOf(m, 0))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(60 * time.Second))
		go send(conn)
		if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
	}
	serves(t, m)
	harness.Must(t, harness.CLI, "status", m.Dir)
}

func isReset(err error) bool { return errno(err) == unix.ECONNRESET || errno(err) == unix.EPIPE }

// usersMount mounts as mallory, with a runtime directory of the test's choice.
func usersMount(t *testing.T, runtime string, opts ...string) (m *harness.Mount, stderr string, code int) {
	t.Helper()
	harness.Require(t, "root", "fuse", "fusermount3")
	m = harness.New(t, 1, opts...)
	for _, dir := range append(m.Tiers, m.Dir) {
		harness.Chown(t, dir, mallory, mallory)
	}
	cmd := exec.Command(harness.Helper, m.Primary, m.Dir, "-o", m.Options())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: mallory, Gid: mallory}}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR=" + runtime}
	_, stderr, code = m.UpBy(cmd)
	return m, stderr, code
}

// TestPlantedRuntimeDirectoryIsNotUsed: another user has been at the place of a
// user's sockets before, or led it elsewhere.
func TestPlantedRuntimeDirectoryIsNotUsed(t *testing.T) {
	for name, plant := range map[string]func(dir string){
		"symlink": func(dir string) { harness.Symlink(t, "../../elsewhere", dir) },
		"another's": func(dir string) {
			harness.Mkdir(t, dir)
			harness.Chown(t, dir, victim, victim)
			harness.Chmod(t, dir, 0o777)
		},
		"a file":     func(dir string) { harness.Write(t, dir, "") },
		"a dead end": func(dir string) { harness.Symlink(t, "tierfs", dir) },
	} {
		t.Run(name, func(t *testing.T) {
			base := harness.TempDir(t)
			runtime := base + "/run"
			for _, dir := range []string{runtime, base + "/elsewhere"} {
				harness.Mkdir(t, dir)
				harness.Chmod(t, dir, 0o777)
			}
			plant(runtime + "/tierfs")
			m, stderr, code := usersMount(t, runtime)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			harness.WantList(t, base+"/elsewhere")
			if name == "another's" {
				harness.WantList(t, runtime+"/tierfs")
			}
			as(t, useful, mallory, m.Dir)
			harness.Must(t, "umount", m.Dir)
			m.Gone(0)
		})
	}
}

// TestUsersDaemonCannotForgeWhatRootReads: root asks for the status of all
// mounts, and a user answers for his daemon with escapes for the terminal.
func TestUsersDaemonCannotForgeWhatRootReads(t *testing.T) {
	runtime := fmt.Sprintf("/run/user/%d", mallory)
	harness.Mkdir(t, runtime)
	harness.Chown(t, runtime, mallory, mallory)
	m, stderr, code := usersMount(t, runtime)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	socket := socketOf(m, mallory)
	for name, answer := range map[string]string{
		"status":  `{"mount_point":"/m\u001b[2J\nforged","source":"\u009b1m\u202e","settings":{"\nforged":{"value":"\nforged","from":"given"},"\u001bx":{"value":"\nforged","from":"default"}},"tiers":[{"path":"\rforged"}],"ops":{"\u0007\nforged":1}}`,
		"failure": "HTTP/1.1 500 no\r\n\r\n" + `{"error":"\u001b[2J\nforged"}`,
		"huge":    `{"mount_point":"` + strings.Repeat("x", 8<<20),
		"nothing": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<20),
		"away":    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(answer, "HTTP") {
				answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + answer
			}
			text := harness.TempDir(t) + "/answer"
			harness.Write(t, text, answer)
			defer stop(start(t, answerAs, mallory, socket, text))
			harness.Eventually(t, "the false daemon listens", func() bool {
				conn, err := net.Dial("unix", socket+".false")
				if err == nil {
					conn.Close()
				}
				return err == nil
			})
			stdout, stderr, _ := harness.Run(t, harness.CLI, "status", m.Dir)
			for _, line := range strings.Split(stdout+stderr, "\n") {
				if strings.HasPrefix(strings.TrimSpace(line), "forged") || strings.ContainsAny(line, "\x1b\u009b\r\a\u202e") {
					t.Errorf("root reads %q", line)
				}
			}
			if len(stdout+stderr) > 1<<20 {
				t.Errorf("root reads %d bytes", len(stdout+stderr))
			}
		})
	}
	harness.Must(t, "umount", m.Dir)
	m.Gone(0)
}

// answerAs takes a daemon's place and answers what a file says. It listens on
// another socket when it is there.
var answerAs = harness.Func("answerAs", func(args []string) error {
	socket := args[0]
	answer, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	os.Remove(socket + ".false")
	if _, err := net.Listen("unix", socket+".false"); err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		conn.Read(make([]byte, 4096))
		conn.Write(answer)
		conn.Close()
	}
})
