package control

import (
	"encoding/json"
	"unicode/utf8"
)

// Name is a path or a name: any bytes. JSON holds Unicode only, so one that is
// not UTF-8 is written as {"bytes": "BASE64"}, any other as a string.
type Name string

type rawName struct {
	Bytes []byte `json:"bytes"`
}

// MarshalJSON writes n without loss.
func (n Name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(rawName{[]byte(n)})
}

// UnmarshalJSON reads both forms.
func (n *Name) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '{' {
		var raw rawName
		err := json.Unmarshal(text, &raw)
		*n = Name(raw.Bytes)
		return err
	}
	return json.Unmarshal(text, (*string)(n))
}
