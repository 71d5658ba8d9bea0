package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stub is a daemon that notes what it was told.
type stub struct {
	status Status
	got    Remount
	err    error
	jobs   // of job_test.go
}

func (s *stub) Status() Status { return s.status }

func (s *stub) Remount(r Remount) error {
	s.got = r
	return s.err
}

var quiet = slog.New(slog.DiscardHandler)

// serve starts a server for d and returns the path of its socket.
func serve(t *testing.T, d Daemon) (path string, s *Server) {
	t.Helper()
	dir := filepath.Join(shortDir(t), "tierfs")
	if err := MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	path = Path(dir, 0, 45)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s = Serve(l, d, quiet)
	t.Cleanup(func() { s.Close(0) })
	return path, s
}

// shortDir is t.TempDir with a name that fits into a socket's address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestStatusAndRemount(t *testing.T) {
	d := &stub{status: Status{PID: 7, Source: "/srv/fast", Ops: map[string]uint64{"READ": 1}}}
	path, _ := serve(t, d)
	c := NewClient(path, os.Geteuid())
	st, err := c.Status()
	if err != nil || st.PID != 7 || st.Ops["READ"] != 1 {
		t.Errorf("status: %+v, %v", st, err)
	}
	want := Remount{Options: "minfree=2%", Set: []string{"minfree"}}
	if err := c.Remount(want); err != nil || d.got.Options != want.Options || len(d.got.Set) != 1 {
		t.Errorf("remount: %v, got %+v", err, d.got)
	}
	d.err = errors.New("option threads: cannot change while mounted; unmount first")
	if err := c.Remount(want); err == nil || err.Error() != d.err.Error() {
		t.Errorf("refusal: %v", err)
	}
}

func TestSocketIsForItsOwnerAlone(t *testing.T) {
	path, s := serve(t, &stub{})
	for name, want := range map[string]os.FileMode{filepath.Dir(path): 0o700, path: 0o600} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	s.Close(0)
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := NewClient(path, os.Geteuid()).Status(); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("after the end: %v", err)
	}
}

// Another user must not get in even when someone has opened the directory and
// the socket to all.
func TestOtherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	path, _ := serve(t, &stub{})
	for _, p := range []string{filepath.Dir(filepath.Dir(path)), filepath.Dir(path), path} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(curl, "-s", "-o", "-", "-w", "%{http_code}", "--unix-socket", path, "http://x/v1/status")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "403") || !strings.Contains(string(out), "user 54321: not allowed") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestPeerCheck(t *testing.T) {
	for _, c := range []struct {
		uid  any
		want int
	}{{0, 200}, {1000, 200}, {1001, 403}, {-1, 403}, {nil, 403}, {"0", 403}} {
		h := onlyOwner(1000, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }))
		w := &recorder{header: http.Header{}}
		r, _ := http.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, c.uid), "GET", "/", nil)
		h.ServeHTTP(w, r)
		if w.code != c.want {
			t.Errorf("user %v: %d, want %d", c.uid, w.code, c.want)
		}
	}
}

type recorder struct {
	header http.Header
	code   int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(code int)        { r.code = code }

// Root asks for the socket of a user's mount in that user's directory: it must
// not talk to a third.
func TestClientChecksWhoListens(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root's sockets are always trusted: needs an ordinary user")
	}
	path, _ := serve(t, &stub{})
	if _, err := NewClient(path, os.Geteuid()+1).Status(); err == nil || !strings.Contains(err.Error(), "listens there") {
		t.Errorf("got %v", err)
	}
}

// A daemon that dies between the question and the answer is seen in its log alone.
func TestClientSaysThatTheDaemonHasGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			conn.Close()
		}
	}()
	_, err = NewClient(path, os.Geteuid()).Status()
	if want := "control socket " + path + ": the daemon has gone without an answer; see the system log"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestStaleSocketIsReplacedAndALaterOneKept(t *testing.T) {
	path, first := serve(t, &stub{})
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + "x", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l, err := Listen(path + "x")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	later, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	first.Close(0)
	if _, err := os.Lstat(path); err != nil {
		t.Error("the first daemon has removed the socket of the later one")
	}
}

// A daemon that is stopped while it makes its socket held up every other mount for good.
func TestListenWaitsForNoStoppedDaemon(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	listens := make(chan error, 1)
	go func() {
		l, err := Listen(Path(dir, 0, 46))
		if err == nil {
			defer l.Close()
		}
		listens <- err
	}()
	select {
	case err := <-listens:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * lockTime):
		t.Error("it waits")
	}
}

func TestListenSweepsWhatKilledDaemonsLeft(t *testing.T) {
	path, _ := serve(t, &stub{})
	dir := filepath.Dir(path)
	for _, name := range []string{"0-99.sock", tempPrefix + "7", "other"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/" + name, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	if err := os.WriteFile(dir+"/1-1.sock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(Path(dir, 0, 46))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left, _ := filepath.Glob(dir + "/*")
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if got := strings.Join(left, " "); got != "0-45.sock 0-46.sock 1-1.sock other" {
		t.Errorf("left: %s", got)
	}
}

func TestMakeDirRefusesWhatIsNotOurs(t *testing.T) {
	base := shortDir(t)
	if err := os.Symlink(base, base+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(base+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/link", "/file", "/none/none"} {
		if err := MakeDir(base + name); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Mkdir(base+"/other", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(base+"/other", 54321, 54321); err != nil {
			t.Fatal(err)
		}
		if err := MakeDir(base + "/other"); err == nil {
			t.Error("took a directory of user 54321")
		}
	}
	if err := os.Mkdir(base+"/open", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(base + "/open"); err != nil {
		t.Error(err)
	}
	if st, _ := os.Stat(base + "/open"); st.Mode().Perm() != 0o700 {
		t.Errorf("left open: %v", st.Mode())
	}
}

func TestDirFollowsTheUser(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/mine")
	if got := Dir(0); got != "/run/tierfs" {
		t.Errorf("root: %s", got)
	}
	if got := Dir(54321); os.Geteuid() != 54321 && got != "/run/user/54321/tierfs" {
		t.Errorf("another user: %s", got)
	}
	if uid := os.Geteuid(); uid != 0 && Dir(uid) != "/run/mine/tierfs" {
		t.Errorf("own: %s", Dir(uid))
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	d := &stub{}
	path, _ := serve(t, d)
	c := NewClient(path, os.Geteuid())
	for _, body := range []string{"", "{", "[]", `{"x":1}`, `{"options":"a"}{"options":"b"}`, `{"options":"` + strings.Repeat("x", maxBody) + `"}`} {
		if err := c.call(remountTime, http.MethodPost, "/v1/remount", []byte(body), &struct{}{}); err == nil {
			t.Errorf("%.30q: taken", body)
		}
	}
	if d.got.Options != "" {
		t.Errorf("the daemon was told %+v", d.got)
	}
	for method, at := range map[string]string{http.MethodGet: "/v1/remount", http.MethodPost: "/v1/status", http.MethodPut: "/"} {
		if err := c.call(remountTime, method, at, nil, &struct{}{}); err == nil {
			t.Errorf("%s %s: taken", method, at)
		}
	}
}

// A client that sends nothing must not hold the end of the daemon up.
func TestCloseCutsOffIdleClients(t *testing.T) {
	path, s := serve(t, &stub{})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	done := make(chan struct{})
	go func() { s.Close(time.Second); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for a client")
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
}

func FuzzReadRemount(f *testing.F) {
	f.Add(`{"options":"ro,minfree=1%","set":["ro"]}`)
	f.Add(`{"options":1}`)
	f.Add(`{} {}`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := read[Remount](strings.NewReader(body))
		if err != nil && (r.Options != "" || r.Set != nil) {
			t.Errorf("refused, yet %+v", r)
		}
	})
}
