package move

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
)

// leastRecord is the room that a record's first line needs.
const leastRecord = 160

// record is size bytes that tell what they are: the file's name, a sequence
// number, their length and checksum, and then noise. A file consists of records.
func record(name string, seq, size int) []byte {
	noise := make([]byte, size-leastRecord)
	source := rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%s %d", name, seq)))
	source.Read(noise)
	b := make([]byte, 0, size)
	b = fmt.Appendf(b, "%s %d %d %x", name, seq, size, sha256.Sum256(noise))
	for len(b) < leastRecord-1 {
		b = append(b, ' ')
	}
	b = append(b, '\n')
	return append(b, noise...)
}
