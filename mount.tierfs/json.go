package main

import (
	"encoding/json"
	"os"
)

// printJSON prints a list of whatever T is: an empty one as [].
func printJSON[T any](all []T) error {
	if all == nil {
		all = []T{}
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}

// printJSONLine prints one object of a listing that may be long.
func printJSONLine(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }
