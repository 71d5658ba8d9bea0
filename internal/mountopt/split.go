package mountopt

import "strings"

// splitOptions cuts an -o string at its commas. A comma inside "..." or behind
// a backslash does not cut. Quotes are taken off; pairs of a backslash and
// another character are left for value to read. Empty options are dropped, as
// libmount does.
//
// Quotes are what works everywhere. Of a backslash libmount 2.38 knows nothing:
// it cuts at the comma, and moves the second half elsewhere if that is an option
// of its own.
func splitOptions(s string) ([]string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return nil, &Error{What: "options " + quote(s), Why: "a zero byte cannot be part of a name", Do: "remove it"}
	}
	var fields []string
	var field []byte
	quoted := false
	flush := func() {
		if len(field) > 0 {
			fields = append(fields, string(field))
		}
		field = field[:0]
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			field = append(field, c, s[i])
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			flush()
		default:
			field = append(field, c)
		}
	}
	if quoted {
		return nil, &Error{What: "options " + quote(s), Why: "a quote is not closed", Do: `write \" for a quote that is part of a name`}
	}
	flush()
	return fields, nil
}

// value is what stands behind the equals sign, backslashes still in it.
type value struct {
	raw   string
	given bool // false: no equals sign
}

// text is the value as one string: a backslash protects comma, colon, quote and
// backslash, and is itself before anything else.
func (v value) text() string {
	var b strings.Builder
	for i := 0; i < len(v.raw); i++ {
		if v.raw[i] == '\\' && i+1 < len(v.raw) && strings.IndexByte(`\,:"`, v.raw[i+1]) >= 0 {
			i++
		}
		b.WriteByte(v.raw[i])
	}
	return b.String()
}

// list is the value cut at its colons. Quotes protect commas only: a list may
// be quoted as a whole.
func (v value) list() []string {
	var items []string
	start := 0
	for i := 0; i < len(v.raw); i++ {
		switch v.raw[i] {
		case '\\':
			i++
		case ':':
			items = append(items, value{raw: v.raw[start:i]}.text())
			start = i + 1
		}
	}
	return append(items, value{raw: v.raw[start:]}.text())
}

// protectText writes s so that splitOptions and text read it back.
func protectText(s string) string {
	return enclose(textProtector.Replace(s))
}

// protectList writes items so that splitOptions and list read them back.
func protectList(items []string) string {
	escaped := make([]string, len(items))
	for i, s := range items {
		escaped[i] = listProtector.Replace(s)
	}
	return enclose(strings.Join(escaped, ":"))
}

var (
	textProtector = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	listProtector = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `:`, `\:`)
)

// enclose protects commas by quotes, which every libmount understands.
func enclose(s string) string {
	if strings.IndexByte(s, ',') >= 0 {
		return `"` + s + `"`
	}
	return s
}
