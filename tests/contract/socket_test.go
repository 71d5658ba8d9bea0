package contract

import (
	"net"
	"testing"

	"github.com/tierfs/tierfs/tests/harness"
)

// deafSocket is a datagram socket that nobody reads.
func deafSocket(t *testing.T) string {
	t.Helper()
	path := harness.TempDir(t) + "/deaf"
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return path
}
