// Package faults makes every call that an operation makes on the tiers fail in
// turn, and looks at the answer, at the documents and at what is left behind.
// What it may find is the table "Faults" of docs/semantics.md.
package faults

import (
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
