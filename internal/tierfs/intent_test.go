package tierfs

import (
	"encoding/base64"
	"encoding/json"
	"path"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestInside(t *testing.T) {
	for _, p := range []string{"a", "a/b", "...", "a/...", ".a", ".tierfs2", "a/.tierfs", "a/.tierfs/b", " ", "-", "a\nb", "\xff", "~", `a\b`, "*"} {
		if !inside(p) {
			t.Errorf("%q is refused", p)
		}
	}
	for _, p := range []string{"", ".", "..", "/", "/a", "a/", "a//b", "./a", "a/.", "../a", "a/..", "a/../b", "a/../../b", ".tierfs", ".tierfs/journal", "a\x00b", "//"} {
		if inside(p) {
			t.Errorf("%q is accepted", p)
		}
	}
}

func encodeIntent(kind, from, to string, moves string) []byte {
	e := base64.StdEncoding.EncodeToString
	return []byte(`{"kind":"` + kind + `","from":"` + e([]byte(from)) + `","to":"` + e([]byte(to)) + `","moves":` + moves + `}`)
}

// underIntent sets a file aside under that name.
func underIntent(aside string) []byte {
	b := encodeIntent(intentUnder, "a", "b", oneMove)
	return append(b[:len(b)-1], `,"replaced":[{"member":"n","ino":8,"aside":"`+aside+`"}]}`...)
}

const oneMove = `[{"member":"m","ino":7}]`

func TestParseIntent(t *testing.T) {
	in, err := parseIntent(encodeIntent(intentRename, "a\xff", "b/c", oneMove))
	if err != nil || in.Kind != intentRename || in.From != "a\xff" || in.To != "b/c" || !reflect.DeepEqual(in.Moves, []move{{Member: "m", Ino: 7}}) || in.Replaced != nil {
		t.Errorf("got %+v, %v", in, err)
	}
	if _, err := parseIntent(encodeIntent(intentReplace, "", "b", oneMove)); err != nil {
		t.Errorf("a replacement has no old name: %v", err)
	}
	if in, err := parseIntent(underIntent("x-1")); err != nil || in.Replaced[0].Aside != "x-1" {
		t.Errorf("got %+v, %v", in, err)
	}
	for what, b := range map[string][]byte{
		"nothing":            nil,
		"no object":          []byte(`"a"`),
		"no paths":           []byte(`{"kind":"rename-directory","moves":` + oneMove + `}`),
		"no moves":           encodeIntent(intentReplace, "", "b", "[]"),
		"no old name":        encodeIntent(intentRename, "", "b", oneMove),
		"out of the tier":    encodeIntent(intentReplace, "", "../b", oneMove),
		"from outside":       encodeIntent(intentRename, "/etc", "b", oneMove),
		"into our own place": encodeIntent(intentRename, "a", ".tierfs/members", oneMove),
		"from our own place": encodeIntent(intentRename, ".tierfs", "b", oneMove),
		"nothing aside":      underIntent(""),
		"out of the staging": underIntent("../journal/x"),
		"a negative number":  encodeIntent(intentReplace, "", "b", `[{"member":"m","ino":-1}]`),
		"more behind it":     append(encodeIntent(intentReplace, "", "b", oneMove), '{'),
		"paths in the clear": []byte(`{"kind":"replace-file","to":"b/c!","moves":` + oneMove + `}`),
	} {
		if in, err := parseIntent(b); err == nil {
			t.Errorf("%s: got %+v", what, in)
		} else if s := err.Error(); strings.ContainsAny(s, "\n\x00") || len(s) > 200 {
			t.Errorf("%s: the error is %q", what, s)
		}
	}
}

// FuzzParseIntent holds every record that is accepted to stay in its tiers and
// out of .tierfs, and to be the same when it is written again.
func FuzzParseIntent(f *testing.F) {
	f.Add(encodeIntent(intentRename, "a", "b/c", oneMove))
	f.Add(encodeIntent(intentReplace, "", "b", oneMove))
	f.Add(underIntent("x-1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := parseIntent(b)
		if err != nil {
			if in != nil || len(err.Error()) > 200 {
				t.Fatalf("%+v, %v", in, err)
			}
			return
		}
		paths := []string{in.To}
		if in.Kind == intentRename {
			paths = append(paths, in.From)
		}
		for _, p := range paths {
			if full := path.Join("/tier", p); !strings.HasPrefix(full, "/tier/") || full != "/tier/"+p || strings.HasPrefix(p+"/", hiddenName+"/") {
				t.Errorf("the path %q leads to %q", p, full)
			}
		}
		if len(in.Moves) == 0 {
			t.Error("nothing moves")
		}
		again := *in
		again.FromRaw, again.ToRaw = []byte(in.From), []byte(in.To)
		text, err := json.Marshal(&again)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseIntent(text)
		if err != nil || back.Kind != in.Kind || back.To != in.To || back.From != in.From ||
			!reflect.DeepEqual(back.Moves, in.Moves) || len(back.Replaced) != len(in.Replaced) {
			t.Errorf("%+v became %+v, %v", in, back, err)
		}
	})
}

// What the journal writes is what it reads.
func TestWrittenIntentIsReadBack(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	in := &intent{Kind: intentRename, From: "a\xff", To: "b\n", Moves: []move{{Member: "m0", Ino: 7}, {Member: "m1", Ino: 1<<64 - 1}}, Replaced: []move{{Member: "m1", Ino: 8, Aside: "x-1"}}}
	rec, err := fs.journal.write(fs.Tiers()[1], in)
	if err != nil {
		t.Fatal(err)
	}
	d, err := rec.t.Private("journal")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Put()
	got, err := readIntent(d, rec.name)
	if err != nil || got.Kind != in.Kind || got.From != in.From || got.To != in.To || !reflect.DeepEqual(got.Moves, in.Moves) || !reflect.DeepEqual(got.Replaced, in.Replaced) {
		t.Errorf("%+v became %+v, %v", in, got, err)
	}
	r.wantRecords(1)
	rec.finish()
	r.wantRecords(0)
	if rec, err = fs.journal.write(fs.Tiers()[0], in); err != nil {
		t.Fatal(err)
	}
	rec.leave(nextMount)
	r.wantRecords(1)
}

// A directory may lie so deep that its path is longer than a record that is
// read.
func TestIntentThatNobodyWouldReadIsNotWritten(t *testing.T) {
	r := newRig(t, 2)
	fs := r.open()
	deep := strings.Repeat("d/", maxIntent/2) + "d"
	if _, err := fs.journal.write(fs.Tiers()[0], &intent{Kind: intentRename, From: "a", To: deep}); err != unix.ENAMETOOLONG {
		t.Error(err)
	}
	r.wantRecords(0)
}
