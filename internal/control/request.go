package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readRemount reads the body of POST /v1/remount: one JSON object, nothing
// unknown in it and nothing behind it.
func readRemount(body io.Reader) (Remount, error) {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	var r Remount
	if err := dec.Decode(&r); err != nil {
		return Remount{}, fmt.Errorf("request: %w; send {\"options\": \"...\", \"set\": [...]}", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Remount{}, errors.New("request: more than one object; send one")
	}
	return r, nil
}
