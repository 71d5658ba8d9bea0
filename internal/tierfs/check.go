package tierfs

import "fmt"

// check panics if an operation has broken an invariant of the table. Only a
// build with the tag invariants does it, such as that of make race: it looks at
// every inode.
func (fs *FS) check(op any) {
	if err := fs.table.CheckInvariants(); err != nil {
		panic(fmt.Sprintf("after %T: %v", op, err))
	}
}
