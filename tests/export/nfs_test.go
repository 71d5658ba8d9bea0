package export

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

// server is nfs-ganesha, which serves a directory by file handles from user
// space. The client is libnfs, in user space too.
type server struct {
	t    *testing.T
	port int
	conf string
	cmd  *exec.Cmd
	log  string
}

const ganesha = `
NFS_CORE_PARAM { NFS_Port = %[1]d; MNT_Port = %[2]d; Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Bind_addr = 127.0.0.1;%[5]s }
NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = %[3]s; Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = %[4]s; Pseudo = /m; Access_Type = RW; Squash = None; SecType = sys; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
`

// newServer is a server of dir that does not run yet.
func newServer(t *testing.T, dir string) *server {
	t.Helper()
	harness.Require(t, "root", "ganesha.nfsd", "nfs-ls")
	scratch := harness.TempDir(t)
	s := &server{t: t, port: freePort(t), conf: scratch + "/conf", log: scratch + "/log"}
	more := ""
	if !strings.Contains(harness.Must(t, "ganesha.nfsd", "-v"), "Release = V4.") {
		more = " allow_set_io_flusher_fail = true;" // or it wants CAP_SYS_RESOURCE, which root in a container may lack
	}
	harness.Write(t, s.conf, fmt.Sprintf(ganesha, s.port, freePort(t), scratch, dir, more))
	harness.Mkdir(t, "/run/ganesha")
	t.Cleanup(func() {
		if s.cmd != nil {
			s.stop()
		}
		if text, err := os.ReadFile(s.log); t.Failed() && err == nil {
			t.Logf("log of the server:\n%s", text)
		}
	})
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs the server until its root, which every server has, can be listed.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command("ganesha.nfsd", "-F", "-f", s.conf, "-L", s.log, "-p", s.conf+".pid", "-N", "WARN")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, _, code := harness.Run(s.t, "timeout", "20", "nfs-ls", s.url("")); code == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatal("the server does not answer")
		}
	}
}

func (s *server) stop() {
	s.cmd.Process.Signal(unix.SIGTERM)
	late := time.AfterFunc(30*time.Second, func() { s.cmd.Process.Kill() })
	defer late.Stop()
	s.cmd.Wait()
	s.cmd = nil
}

func (s *server) url(rel string) string {
	return fmt.Sprintf("nfs://127.0.0.1/%s?version=4&nfsport=%d&uid=0&gid=0", rel, s.port)
}

// do runs one of the client's programs.
func (s *server) do(args ...string) (stdout string, ok bool) {
	s.t.Helper()
	stdout, stderr, code := harness.Run(s.t, append([]string{"timeout", "60"}, args...)...)
	if code != 0 {
		s.t.Logf("%q: %s%s", args, stdout, stderr)
	}
	return stdout, code == 0
}

func (s *server) wantRead(rel, want string) {
	s.t.Helper()
	if got, ok := s.do("nfs-cat", s.url("m/"+rel)); !ok || got != want {
		s.t.Errorf("%s reads %.60q, want %.60q", rel, got, want)
	}
}

// write makes a small file: nfs-cp of libnfs 4 fails with more than a page over
// NFS 4, whatever filesystem is beneath.
func (s *server) write(rel, text string) {
	s.t.Helper()
	from := filepath.Join(harness.TempDir(s.t), "f")
	harness.Write(s.t, from, text)
	if _, ok := s.do("nfs-cp", from, s.url("m/"+rel)); !ok {
		s.t.Errorf("%s cannot be written", rel)
	}
}

// An NFS server holds handles for days, while the kernel forgets the inodes,
// and another one takes its place.
func TestNFSServerReadsAndWrites(t *testing.T) {
	m := exported(t, func(m *harness.Mount) {
		for i, tier := range m.Tiers {
			harness.Mkdir(t, tier+"/d/deep")
			harness.Write(t, fmt.Sprintf("%s/d/f%d", tier, i), fmt.Sprint("file ", i))
			harness.Write(t, fmt.Sprintf("%s/d/deep/g%d", tier, i), strings.Repeat(fmt.Sprint("deep ", i), 100_000))
		}
	})
	s := newServer(t, m.Dir)
	for round := range 2 {
		s.start()
		for i := range 2 {
			s.wantRead(fmt.Sprint("d/f", i), fmt.Sprint("file ", i))
			s.wantRead(fmt.Sprint("d/deep/g", i), strings.Repeat(fmt.Sprint("deep ", i), 100_000))
			forget(t)
			name, text := fmt.Sprintf("d/deep/new%d-%d", round, i), strings.Repeat("new ", 200)
			s.write(name, text)
			forget(t)
			s.wantRead(name, text)
			harness.WantRead(t, m.Path(name), text)
		}
		list, ok := s.do("nfs-ls", s.url("m/d"))
		if !ok || strings.Count(list, "\n") != 3 {
			t.Errorf("listed is %q", list)
		}
		// The server learns of it when it asks for what it remembers.
		harness.Rename(t, m.Path("d/f0"), m.Path("d/deep/moved"))
		forget(t)
		s.wantRead("d/deep/moved", "file 0")
		harness.Rename(t, m.Path("d/deep/moved"), m.Path("d/f0"))
		s.stop()
	}
	if m.Status().Forgotten() == 0 {
		t.Error("the kernel has forgotten nothing: the test shows nothing")
	}
}

// forget drops the caches; the server has files open.
func forget(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutNoforgetNFSServerExportsNothing(t *testing.T) {
	harness.Require(t, "root", "fuse", "linux-6.9")
	m := harness.New(t, 1)
	harness.Write(t, m.Fallbacks[0]+"/f", "x")
	m.Up()
	s := newServer(t, m.Dir)
	s.start()
	if list, ok := s.do("nfs-ls", s.url("m")); ok {
		t.Errorf("it lists %q", list)
	}
}
