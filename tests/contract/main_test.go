// Package contract holds what mount(8), umount(8), systemd and autofs expect
// of a mount helper, one promise a test, against util-linux as installed.
package contract

import (
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
