// Package life follows a daemon from its start to its end: signals, crashes,
// busy unmounts, many cycles, many clients, and which tiers it agrees to serve.
package life

import (
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
