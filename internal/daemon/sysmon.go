package daemon

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sysmonSlack is how much longer Go's sysmon may sleep than it asks for.
//
// That thread looks after the others (runtime/proc.go). From when a process that
// had nothing to do begins to do something it looks every 20 µs, for the first fifty
// times, and again each time when it has taken a P from a thread that waits in a call.
// A look is a timer's interrupt and two changes of threads, 30 µs on a virtual machine:
// half of the CPU time of a daemon whose clients come and go. What it looks for is
// rare here, or may wait: little but the collector computes for long without a call. Only
// a goroutine that finds no P waits for it, so there must be enough of those.
const sysmonSlack = 4 * time.Millisecond

// spareThreads are made before sysmon is calm. A thread has the slack of the one that
// makes it (prctl(2), PR_SET_TIMERSLACK), which may be sysmon. One that looks for
// work sleeps 3 µs at times, and while it does so no other is woken up: with
// sysmon's slack a client waits.
const spareThreads = 16

// Sysmon is that thread.
type Sysmon struct {
	id    int
	usual time.Duration // what all threads begin with
	seen  map[int]bool  // threads that had it when it was last calmed
}

// CalmSysmon lets it sleep. Where /proc or CAP_SYS_NICE is lacking it stays as it is,
// which costs CPU time only.
func CalmSysmon() *Sysmon {
	usual, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	s := &Sysmon{id: sysmon(), usual: time.Duration(usual)}
	makeThreads(spareThreads)
	s.Hurry(false)
	return s
}

// makeThreads has the runtime make threads, which it keeps, by so many calls that wait
// at a time.
func makeThreads(n int) {
	var pipe [2]int
	if unix.Pipe2(pipe[:], unix.O_CLOEXEC) != nil {
		return
	}
	var begun, ended sync.WaitGroup
	begun.Add(n)
	for range n {
		ended.Go(func() {
			begun.Done()
			_, _ = unix.Read(pipe[0], make([]byte, 1))
		})
	}
	begun.Wait()
	unix.Close(pipe[1]) // the end for all of them
	ended.Wait()
	unix.Close(pipe[0])
}

// Hurry makes it as quick as Go means it to be, or calm again. It must be quick while
// many ops wait for a disk, each with a P that others need. More threads are made
// then; as it may be too late for the first of them, all are seen to afterwards. It is
// not called by two at a time.
func (s *Sysmon) Hurry(on bool) {
	if on {
		setSlack(s.id, s.usual)
		return
	}
	seen := map[int]bool{} // anew: the number of one that has ended may be another's
	for _, id := range threads() {
		if id == s.id {
			continue
		}
		if !s.seen[id] {
			setSlack(id, s.usual)
		}
		seen[id] = true
	}
	s.seen = seen
	setSlack(s.id, sysmonSlack)
}

// setSlack sets how late the timers of a thread may be.
func setSlack(thread int, slack time.Duration) {
	file := fmt.Sprintf("/proc/%d/timerslack_ns", thread)
	if fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
		_, _ = unix.Write(fd, []byte(strconv.Itoa(int(slack))))
		unix.Close(fd)
	}
}

// sysmon is the number of its thread, 0 if that is not known. It is the first that the
// runtime makes (runtime.main), and numbers are given out in order until they begin
// anew. /proc may be of another PID namespace than the process.
func sysmon() int {
	link, err := os.Readlink("/proc/self")
	if err != nil {
		return 0
	}
	self, err := strconv.Atoi(link)
	if err != nil {
		return 0
	}
	after, least := 0, 0
	for _, id := range threads() {
		if id > self && (after == 0 || id < after) {
			after = id
		}
		if id != self && (least == 0 || id < least) {
			least = id
		}
	}
	if after != 0 {
		return after
	}
	return least
}

// threads are the numbers of all there are.
func threads() (ids []int) {
	entries, _ := os.ReadDir("/proc/self/task")
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
