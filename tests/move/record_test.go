package move

import (
	"bytes"
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

// parse takes the records of a file apart: the number of the last one that is
// whole, and how many bytes after it are no whole record.
func parse(name string, content []byte) (last, torn int, err error) {
	for len(content) > 0 {
		if len(content) < leastRecord {
			return last, len(content), nil
		}
		var of string
		var seq, size int
		var sum []byte
		if _, err := fmt.Sscanf(string(content[:leastRecord]), "%s %d %d %x", &of, &seq, &size, &sum); err != nil || size < leastRecord {
			return last, len(content), nil
		}
		switch {
		case of != name:
			return 0, 0, fmt.Errorf("has content of %s", of)
		case last > 0 && seq != last+1:
			return 0, 0, fmt.Errorf("has record %d after %d", seq, last)
		case size > len(content):
			return last, len(content), nil
		}
		if want := sha256.Sum256(content[leastRecord:size]); !bytes.Equal(sum, want[:]) {
			return last, len(content), nil
		}
		last, content = seq, content[size:]
	}
	return last, 0, nil
}
