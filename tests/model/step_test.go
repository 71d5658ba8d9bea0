package model

import (
	"fmt"
	"path"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// step is one operation with all it needs, so that a program does the same
// whatever steps are left out.
type step struct {
	op    string
	p, q  string // paths
	h, h2 int    // handles
	r     int    // a tier's rank
	n     int64  // bytes, a size, a time or a user
	o, o2 int64  // offsets; o: a group
	m     uint32 // a mode; the seed of data
	f     int    // flags
	k, v  string // an attribute's name; a value, a link's target
	hold  bool   // the names are held with O_PATH meanwhile
}

// result is what an operation answers.
type result struct {
	errno unix.Errno
	text  string
}

func refuse(errno unix.Errno) result { return result{errno: errno} }

func (r result) String() string {
	if r.errno != 0 {
		return "error " + unix.ErrnoName(r.errno)
	}
	if len(r.text) > 300 {
		return fmt.Sprintf("%d bytes, %q…", len(r.text), r.text[:300])
	}
	return fmt.Sprintf("%q", r.text)
}

// String is the step as a line of a program: the operation, and all that is not
// zero, by the field's name.
func (st step) String() string {
	text := st.op
	v := reflect.ValueOf(st)
	for i := 1; i < v.NumField(); i++ {
		if f := v.Field(i); !f.IsZero() {
			text += " " + v.Type().Field(i).Name + "=" + fieldText(f)
		}
	}
	return text
}

func fieldText(f reflect.Value) string {
	switch f.Kind() {
	case reflect.String:
		return strconv.Quote(f.String())
	case reflect.Uint32:
		return fmt.Sprintf("%#o", f.Uint())
	case reflect.Bool:
		return "1"
	}
	return fmt.Sprint(f.Int())
}

// parseStep reads what String writes.
func parseStep(line string) (st step, err error) {
	op, rest, _ := strings.Cut(line, " ")
	st.op = op
	for rest != "" && err == nil {
		var name, value string
		if name, value, _ = strings.Cut(strings.TrimLeft(rest, " "), "="); strings.HasPrefix(value, `"`) {
			var quoted string
			if quoted, err = strconv.QuotedPrefix(value); err == nil {
				rest = value[len(quoted):]
				value, err = strconv.Unquote(quoted)
			}
		} else {
			value, rest, _ = strings.Cut(value, " ")
		}
		if err == nil {
			err = st.set(name, value)
		}
	}
	if err != nil || calls[op].rule == nil && op != "check" && op != "remount" && op != "rows" {
		return st, fmt.Errorf("not a step: %q: %v", line, err)
	}
	return st, nil
}

func (st *step) set(name, value string) (err error) {
	strs := map[string]*string{"p": &st.p, "q": &st.q, "k": &st.k, "v": &st.v}
	nums := map[string]*int64{"n": &st.n, "o": &st.o, "o2": &st.o2}
	ints := map[string]*int{"h": &st.h, "h2": &st.h2, "r": &st.r, "f": &st.f}
	switch {
	case strs[name] != nil:
		*strs[name] = value
	case nums[name] != nil:
		*nums[name], err = strconv.ParseInt(value, 10, 64)
	case ints[name] != nil:
		*ints[name], err = strconv.Atoi(value)
	case name == "m":
		var m uint64
		m, err = strconv.ParseUint(value, 0, 32)
		st.m = uint32(m)
	case name == "hold":
		st.hold = true
	default:
		err = fmt.Errorf("no field %q", name)
	}
	return err
}

// outside reports that the step works on a tier behind the mount.
func (st step) outside() bool { return strings.HasPrefix(st.op, "out.") }

func base(p string) string { return path.Base(p) }

// above are the names of the directories over the last one.
func above(p string) []string {
	names := strings.Split(p, "/")
	return names[:len(names)-1]
}
