package daemon

import (
	"os"
	"strings"
	"testing"
)

func tellReady() error {
	r, err := OpenReady()
	if err != nil {
		return err
	}
	if os.Getenv("WORD") == "" {
		os.Exit(3)
	}
	return r.Tell(Word(os.Getenv("WORD")))
}

func TestHelperHearsTheWord(t *testing.T) {
	for _, want := range []Word{Mounted, Nothing, Silence} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := child("ready", "WORD="+string(want))
		cmd.ExtraFiles = []*os.File{w} // ReadyFD
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if got := Await(r); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
		r.Close()
		_ = cmd.Wait()
	}
}

func TestAwaitTakesOnlyKnownWords(t *testing.T) {
	for in, want := range map[string]Word{
		"mounted\n": Mounted, "mounted": Mounted, "nothing\n": Nothing,
		"": Silence, "mounted\nx": Silence, "MOUNTED\n": Silence, strings.Repeat("x", 1000): Silence,
	} {
		if got := Await(strings.NewReader(in)); got != want {
			t.Errorf("%.20q: %q, want %q", in, got, want)
		}
	}
}

func TestWordWithoutHelperIsAnError(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := (Ready{w}).Tell(Mounted); err == nil {
		t.Error("nobody reads, yet no error")
	}
	if err := (Ready{}).Tell(Mounted); err != nil {
		t.Errorf("in the foreground: %v", err)
	}
}

func TestReadyIsAPipe(t *testing.T) {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := child("ready")
	cmd.ExtraFiles = []*os.File{null}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not the helper's pipe") {
		t.Errorf("%v: %s", err, out)
	}
}
