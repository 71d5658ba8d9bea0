package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// jobs is the part of the stub that moves and checks.
type jobs struct {
	files    []File
	findings []Finding
	move     Move
	up       bool
	check    Check
	fail     error
	hold     bool          // the job goes on until its context ends
	ended    chan struct{} // closed then
}

func (s *jobs) Move(ctx context.Context, up bool, m Move, w Watch) (Totals, error) {
	s.move, s.up = m, up
	w.Begin(Totals{Files: len(s.files), Bytes: 100})
	w.Copying(50)
	return s.run(ctx, w.File)
}

func (s *jobs) run(ctx context.Context, emit func(File)) (Totals, error) {
	var done Totals
	for _, f := range s.files {
		emit(f)
		done.Files++
		done.Bytes += f.Bytes
	}
	if s.hold {
		<-ctx.Done()
		close(s.ended)
	}
	return done, s.fail
}

func (s *jobs) Plan(ctx context.Context, emit func(File)) (Totals, error) { return s.run(ctx, emit) }

func (s *jobs) Why(_ context.Context, path string) (Verdict, error) {
	return Verdict{Path: Name(path), Detail: "not old enough"}, s.fail
}

func (s *jobs) Check(_ context.Context, c Check, emit func(Finding)) (CheckEnd, error) {
	s.check = c
	for _, f := range s.findings {
		emit(f)
	}
	return CheckEnd{Findings: len(s.findings)}, s.fail
}

func TestJobsAreStreamed(t *testing.T) {
	d := &stub{}
	d.files = []File{{Path: "a/b", To: 1, Bytes: 3}, {Path: "c\xff", Skip: "open"}, {Path: "n\n\u2028", Error: "x"}}
	path, _ := serve(t, d)
	c := NewClient(path, os.Geteuid())
	want := Move{Paths: []Name{"a", "\xfe/b"}, OlderThan: 60, DryRun: true}
	for name, call := range map[string]func(fn func(Line)) (Totals, error){
		"demote":  func(fn func(Line)) (Totals, error) { return c.Demote(t.Context(), want, fn) },
		"promote": func(fn func(Line)) (Totals, error) { return c.Promote(t.Context(), want, fn) },
		"plan":    func(fn func(Line)) (Totals, error) { return c.Plan(t.Context(), fn) },
	} {
		for _, fail := range []error{nil, errors.New("tier /srv/slow: away")} {
			d.fail, d.move = fail, Move{}
			var got []File
			sum, copied := Totals{}, int64(0)
			end, err := call(func(l Line) {
				copied += l.Copied
				switch {
				case l.Begin != nil:
					sum = *l.Begin
				case l.File != nil:
					got = append(got, *l.File)
				}
			})
			if !reflect.DeepEqual(got, d.files) || end.Files != 3 || end.Bytes != 3 {
				t.Errorf("%s: %+v, end %+v", name, got, end)
			}
			if (err == nil) != (fail == nil) || err != nil && err.Error() != fail.Error() {
				t.Errorf("%s: %v, want %v", name, err, fail)
			}
			if name != "plan" && (!reflect.DeepEqual(d.move, want) || d.up != (name == "promote") || sum.Bytes != 100 || copied != 50) {
				t.Errorf("%s: the daemon was told %+v, up %v; sum %+v, %d copied", name, d.move, d.up, sum, copied)
			}
		}
	}
}

func TestWhyAndCheck(t *testing.T) {
	d := &stub{}
	d.findings = []Finding{{Kind: "leftover", Path: "\xff", Tier: 1, Text: "x", Mend: "remove it"}}
	path, _ := serve(t, d)
	c := NewClient(path, os.Geteuid())
	if v, err := c.Why("a\xff"); err != nil || v.Path != "a\xff" || v.Detail == "" {
		t.Errorf("why: %+v, %v", v, err)
	}
	var got []Finding
	end, err := c.Check(t.Context(), Check{Repair: true}, func(f Finding) { got = append(got, f) })
	if err != nil || end.Findings != 1 || !reflect.DeepEqual(got, d.findings) || !d.check.Repair || d.check.Rename {
		t.Errorf("check: %+v, end %+v, %v; told %+v", got, end, err, d.check)
	}
	d.fail = errors.New("no such file")
	if _, err := c.Why("a"); err == nil || err.Error() != "no such file" {
		t.Errorf("why: %v", err)
	}
	if _, err := c.Check(t.Context(), Check{}, func(Finding) {}); err == nil || err.Error() != "no such file" {
		t.Errorf("check: %v", err)
	}
}

// Who ends a job is still told what it has done by then.
func TestEndOfTheClientsContextEndsTheJob(t *testing.T) {
	d := &stub{}
	d.files, d.hold, d.ended = []File{{Path: "a", Bytes: 5}}, true, make(chan struct{})
	path, _ := serve(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	end, err := NewClient(path, os.Geteuid()).Demote(ctx, Move{}, func(l Line) {
		if l.File != nil {
			cancel()
		}
	})
	if err != nil || end.Files != 1 || end.Bytes != 5 {
		t.Errorf("%+v, %v", end, err)
	}
	<-d.ended
}

// A client that is killed ends its job, and so does the end of the server.
func TestJobEndsWithItsClient(t *testing.T) {
	for _, what := range []string{"client", "server"} {
		d := &stub{}
		d.files, d.hold, d.ended = []File{{Path: "a"}}, true, make(chan struct{})
		path, s := serve(t, d)
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("POST /v1/demote HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if what == "server" {
			s.Close(0)
		}
		conn.Close()
		select {
		case <-d.ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the job goes on", what)
		}
	}
}

// The server's limits are for short answers: a job may say nothing for longer.
func TestALongJobIsNotCutOff(t *testing.T) {
	d := &stub{}
	d.hold, d.ended = true, make(chan struct{})
	path := shortDir(t) + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: routes(d), ReadTimeout: 50 * time.Millisecond, WriteTimeout: 100 * time.Millisecond}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := NewClient(path, os.Geteuid()).Demote(ctx, Move{}, func(Line) {}); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 300*time.Millisecond {
		t.Errorf("cut off after %v", took)
	}
}

// A user's daemon answers what that user wants, and root may have asked.
func TestStreamOfABadDaemonIsAnError(t *testing.T) {
	for _, body := range []string{"", "{}\n{", "[]\n", `{"file":{}}` + "\n", `{"end":{},"x":"` + strings.Repeat("y", maxLine) + `"}` + "\n"} {
		dir := shortDir(t)
		l, err := net.Listen("unix", dir+"/s")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })}
		go func() { _ = srv.Serve(l) }()
		if _, err := NewClient(dir+"/s", os.Geteuid()).Demote(t.Context(), Move{}, func(Line) {}); err == nil {
			t.Errorf("%.20q: taken", body)
		}
		srv.Close()
	}
}

func TestBadJobsAreRefused(t *testing.T) {
	d := &stub{}
	path, _ := serve(t, d)
	for _, at := range []string{"demote", "promote", "why", "check"} {
		for _, body := range []string{"", "[]", `{"x":1}`, `{}{}`, `{"paths":[{"bytes":"?"}]}`} {
			resp, err := httpTo(path).Post("http://x/v1/"+at, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %q: %s", at, body, resp.Status)
			}
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("a/b")
	f.Add("\xff\n\u2028<")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Name(s).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var n Name
		if err := n.UnmarshalJSON(b); err != nil || string(n) != s {
			t.Errorf("%q became %q, %v", s, n, err)
		}
	})
}
