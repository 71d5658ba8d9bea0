package tierfs

import (
	"fmt"
	"sync/atomic"
)

// checkEach is how many inodes the table may have for each operation to be
// checked. Of a larger one every second is checked, every third, and so on: a
// walk through n directories would take n² steps.
const checkEach = 256

var checked atomic.Int64

// check panics if an operation has broken an invariant of the table. Only a
// build with the tag invariants does it, such as that of make race: it looks at
// every inode.
func (fs *FS) check(op any) {
	if checked.Add(1)%int64(1+fs.table.Len()/checkEach) != 0 {
		return
	}
	if err := fs.table.CheckInvariants(); err != nil {
		panic(fmt.Sprintf("after %T: %v", op, err))
	}
}
