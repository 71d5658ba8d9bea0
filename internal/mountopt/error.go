package mountopt

import "strconv"

// Error is a mistake in the command line or in the options. Its text is one
// line, "what: why; what to do".
type Error struct {
	What string // the thing at fault, what the caller wrote in quotes
	Why  string // perhaps empty
	Do   string // perhaps empty
}

func (e *Error) Error() string {
	switch {
	case e.Why == "":
		return e.What + ": " + e.Do
	case e.Do == "":
		return e.What + ": " + e.Why
	}
	return e.What + ": " + e.Why + "; " + e.Do
}

// maxQuoted keeps an error on one readable line whatever was pasted into -o.
const maxQuoted = 200

// quote shows what the caller wrote: control characters and bytes that are not
// UTF-8 escaped, so that a name can neither break the line nor move the
// terminal's cursor.
func quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.Quote(s[:maxQuoted]) + "..."
	}
	return strconv.Quote(s)
}
