package main

import "time"

// scale is how much a run does.
type scale struct {
	rounds   int
	passes   int           // measurements of a look or a change in one mount, each of other names
	files    int           // names in each, shared out among the clients
	warmUp   int           // names before them, untimed, of each client
	dirs     int           // directories of smallDir entries in each pass of a listing
	bigDir   int           // entries of the big directories
	fileSize int64         // of each of the dataFiles
	dataTime time.Duration // of one fio job; fio looks every 100 ms whether it has ended
	crowds   []int         // how many clients, and fio jobs
	jobs     []int
	inodes   int           // that the kernel is made to cache, to weigh the daemons
	forget   time.Duration // how long a daemon is waited for that gives no more memory back
	quick    bool          // and fewer rows and subjects
}

// later is how long the names of a look are left alone before they are looked
// at again: longer than the second for which FUSE filesystems let the kernel
// trust them.
const later = 2 * time.Second

func (f flags) scale() scale {
	s := scale{
		rounds: 4, passes: 4, files: 800, warmUp: 50, dirs: 40, bigDir: 100_000, fileSize: 64 << 20, dataTime: 490 * time.Millisecond,
		crowds: []int{1, 8}, jobs: []int{1, 8}, inodes: 1_000_000, forget: 10 * time.Second,
	}
	if f.quick {
		s = scale{
			rounds: 2, passes: 2, files: 240, warmUp: 25, dirs: 16, bigDir: 5_000, fileSize: 32 << 20, dataTime: 90 * time.Millisecond,
			crowds: []int{1, 8}, jobs: []int{1}, inodes: 50_000, forget: 3 * time.Second, quick: true,
		}
	}
	if f.rounds > 0 {
		s.rounds = f.rounds
	}
	return s
}
