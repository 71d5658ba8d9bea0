package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// request is the body of r, or false after a refusal.
func request[T any](w http.ResponseWriter, r *http.Request) (T, bool) {
	req, err := read[T](http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
	}
	return req, err == nil
}

// read reads a body: one JSON object, nothing unknown in it and nothing behind
// it.
func read[T any](body io.Reader) (req T, err error) {
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	var none T
	if err := dec.Decode(&req); err != nil {
		return none, fmt.Errorf("request: %w; send one JSON object as in tierfs(8)", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return none, errors.New("request: more than one object; send one")
	}
	return req, nil
}
