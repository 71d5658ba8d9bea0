package fusedev

import (
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSpareAnswerIsSentAfterATenthOfASecond(t *testing.T) {
	free, sent := make(chan bool), make(chan [2]bool, 2)
	k := serve(t, Config{}, func(r *Request, op any) error {
		spare := sampleStat
		spare.Size = 1
		if r.Opcode == opLookup {
			r.SpareEntry(&Entry{Node: 7, Stat: &spare, EntryTTL: time.Second})
		} else {
			r.SpareAttr(&Entry{Stat: &spare, AttrTTL: 2 * time.Second})
		}
		<-free
		taken := false
		if r.Opcode == opLookup {
			taken = r.Entry(&Entry{Node: 8, Stat: &sampleStat})
		} else {
			taken = r.Attr(&Entry{Stat: &sampleStat})
		}
		sent <- [2]bool{taken, r.SpareSent()}
		return nil
	})
	for _, opcode := range []uint32{opLookup, opGetattr} {
		begun := time.Now()
		a := k.call(opcode, 1, "a fifteen bytes")                                         // or what GETATTR takes for flags and a handle
		if took := time.Since(begun); took < SpareAfter-watchOld || took > 5*SpareAfter { // ops begin at the last look
			t.Errorf("%s: answered after %v", opName(opcode), took)
		}
		var e entryOut
		var o attrOut
		if opcode == opLookup {
			unpack(t, k.want(a, 0, 128), &e)
			o.Attr = e.Attr
		} else {
			unpack(t, k.want(a, 0, 104), &o)
		}
		if o.Attr.Size != 1 || opcode == opLookup && (e.Node != 7 || e.EntryValid != 1) {
			t.Errorf("%s: %+v %+v", opName(opcode), e, o)
		}
		free <- true
		if got := <-sent; got != [2]bool{false, true} {
			t.Errorf("%s: the handler's own answer was taken: %v, the spare one: %v", opName(opcode), got[0], got[1])
		}
	}
}

func TestSpareAnswerIsNotSentInTime(t *testing.T) {
	sent := make(chan [2]bool, 1)
	k := serve(t, Config{}, func(r *Request, op any) error {
		r.SpareEntry(&Entry{Node: 7, Stat: &sampleStat})
		time.Sleep(SpareAfter / 3)
		taken := r.Entry(&Entry{Node: 8, Stat: &sampleStat})
		sent <- [2]bool{taken, r.SpareSent()}
		return nil
	})
	var e entryOut
	unpack(t, k.want(k.call(opLookup, 1, "a"), 0, 128), &e)
	if e.Node != 8 {
		t.Errorf("answered with node %d", e.Node)
	}
	if got := <-sent; got != [2]bool{true, false} {
		t.Errorf("the handler's own answer was taken: %v, the spare one: %v", got[0], got[1])
	}
}

// A spare answer is that request's alone.
func TestSpareAnswerIsNotTheNextRequests(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{Threads: 1}, func(r *Request, op any) error {
		if r.Node == 1 {
			r.SpareEntry(&Entry{Node: 7, Stat: &sampleStat})
		}
		return b.serve(r, op)
	})
	k.want(k.call(opLookup, 1, "there"), 0, 128)
	_, c := k.send(opLookup, 99, "there")
	<-b.in
	k.quiet(c, SpareAfter+100*time.Millisecond)
	close(b.free)
	k.want(k.take(c), 0, 128)
}

// A tier is away: its ops are answered with EIO, and what they say when it is
// back is dropped.
func TestStuckOpIsEIO(t *testing.T) {
	b := newBlocker()
	var away atomic.Bool
	k := serve(t, Config{Stuck: func(age time.Duration, _ int) bool { return away.Load() && age > 50*time.Millisecond }}, b.serve)
	_, own := k.send(opMkdir, 99, []uint32{0, 0}, "d")
	_, library := k.send(opLookup, 99, "there")
	_, quick := k.send(opUnlink, 99, "there")
	for range 3 {
		<-b.in
	}
	k.quiet(own, 100*time.Millisecond)
	away.Store(true)
	begun := time.Now()
	for _, c := range []chan answer{own, library, quick} {
		k.want(k.take(c), unix.EIO, 0)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %v", took)
	}
	k.want(k.call(opLookup, 1, "there"), 0, 128)
	close(b.free)
	k.settled()
	k.want(k.call(opLookup, 1, "there"), 0, 128)
}

// An op that has come to work on one tier alone is not given up for another's
// sake.
func TestStuckIsToldTheTierOfTheOp(t *testing.T) {
	free := make(chan struct{})
	k := serve(t, Config{Stuck: func(age time.Duration, rank int) bool { return age > 20*time.Millisecond && rank == 1 }}, func(r *Request, op any) error {
		if rank := int(r.Node) - 100; rank >= 0 {
			r.On(rank)
		}
		<-free
		return small(r, op)
	})
	_, unknown := k.send(opLookup, 1, "there")
	_, other := k.send(opLookup, 100, "there")
	_, stuck := k.send(opLookup, 101, "there")
	k.want(k.take(stuck), unix.EIO, 0)
	k.quiet(unknown, 100*time.Millisecond)
	k.quiet(other, 0)
	close(free)
	k.want(k.take(unknown), 0, 128)
	k.want(k.take(other), 0, 128)
}

// However many ops hang with a tier, what is left serves.
func TestStuckOpsDoNotUseUpTheThreads(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{Threads: 3, Stuck: func(age time.Duration, _ int) bool { return age > 10*time.Millisecond }}, b.serve)
	for range 4 {
		var stuck []chan answer
		for range 3 {
			_, c := k.send(opLookup, 99, "there")
			stuck = append(stuck, c)
		}
		for _, c := range stuck {
			k.want(k.take(c), unix.EIO, 0)
		}
	}
	k.want(k.call(opLookup, 1, "there"), 0, 128)
	close(b.free)
	k.settled()
	k.want(k.call(opLookup, 1, "there"), 0, 128)
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.s.started < 1 || k.s.started > 3 {
		t.Errorf("%d workers are counted", k.s.started)
	}
}

// EAGAIN makes the kernel say it again, for a request that is on its way to a
// worker.
func TestInterruptOfAnUnknownRequestIsEAGAIN(t *testing.T) {
	k := serve(t, Config{}, small)
	unique := k.number()
	c := k.expect(unique | 1) // FUSE_INT_REQ_BIT
	k.write(message(opInterrupt, unique|1, 0, 0, []uint64{unique}))
	k.want(k.take(c), unix.EAGAIN, 0)
	k.want(k.call(opLookup, 1, "there"), 0, 128)
}

// deadThread is the ID of a thread that is gone.
func deadThread(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestInterruptReleasesAKilledClient(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{}, b.serve)
	for _, opcode := range []uint32{opLookup, opFsync} {
		unique := k.number()
		c := k.expect(unique)
		k.write(message(opcode, unique, 99, deadThread(t), "enough bytes for FSYNC"))
		<-b.in
		k.quiet(c, 50*time.Millisecond) // nobody has said that a signal came
		k.write(message(opInterrupt, unique|1, 0, 0, []uint64{unique}))
		k.want(k.take(c), unix.EINTR, 0)
	}
	close(b.free)
	k.settled()
	k.want(k.call(opLookup, 1, "there"), 0, 128)
}

// SIGCHLD must not make stat(2) fail with EINTR.
func TestInterruptOfALivingClientChangesNothing(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{}, b.serve)
	unique, c := k.send(opLookup, 99, "there")
	<-b.in
	k.write(message(opInterrupt, unique|1, 0, 0, []uint64{unique}))
	k.quiet(c, 100*time.Millisecond)
	close(b.free)
	k.want(k.take(c), 0, 128)
}

func TestKilled(t *testing.T) {
	if killed(0) {
		t.Error("the kernel itself is being killed")
	}
	if killed(uint32(os.Getpid())) {
		t.Error("this process is being killed")
	}
	if !killed(uint32(deadThread(t))) {
		t.Error("a process that is gone is not")
	}
}

func TestEndOfTheConnectionEndsEverything(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{}, b.serve)
	var blocked []chan answer
	for range 12 { // more than are kept parked
		_, c := k.send(opLookup, 99, "there")
		blocked = append(blocked, c)
		<-b.in
	}
	for range 6 {
		b.free <- struct{}{}
	}
	for n := 0; n < 6; {
		for _, c := range blocked {
			select {
			case <-c:
				n++
			default:
			}
		}
	}
	k.hangUp()
	begun := time.Now()
	if err := k.s.Wait(100 * time.Millisecond); err == nil {
		t.Error("no error")
	} else {
		t.Logf("a closed socket ends it with %v", err)
	}
	if took := time.Since(begun); took < 100*time.Millisecond || took > 2*time.Second {
		t.Errorf("ops are under way, and it took %v", took)
	}
	close(b.free) // the cleanup wants nothing left
	if err := k.s.Wait(5 * time.Second); err == nil {
		t.Error("the second time no error")
	}
}

func TestUnmountIsNoError(t *testing.T) {
	fd, dev := pair(t)
	defer unix.Close(dev)
	if _, err := unix.Write(fd, message(opInit, 2, 0, 0, newKernel)); err != nil {
		t.Fatal(err)
	}
	s, err := Serve(dev, handlerFunc(small), Config{Log: quietLog(), Stuck: never})
	if err != nil {
		t.Fatal(err)
	}
	s.hangUp(unix.ENODEV) // what read(2) of /dev/fuse says then; a socket cannot
	s.hangUp(unix.ECONNABORTED)
	unix.Close(fd)
	if err := s.Wait(5 * time.Second); err != nil {
		t.Errorf("got %v", err)
	}
	noneLeft(t)
}

func TestServeOfADeadConnectionFails(t *testing.T) {
	fd, dev := pair(t)
	unix.Close(fd)
	defer unix.Close(dev)
	if s, err := Serve(dev, handlerFunc(small), Config{Log: quietLog(), Stuck: never}); err == nil {
		t.Errorf("got %v", s)
	}
	noneLeft(t)
}

// Ops begin at the time of the watchdog's last look, so that they cost no look
// at the clock: one that began just now seems as old as that. It is not slow,
// and must not wake a second reader on a cold CPU.
func TestOpThatBeganBetweenTwoLooksIsNotSlow(t *testing.T) {
	s := &Server{cfg: Config{Stuck: never}, workers: map[*worker]struct{}{}, max: 1, started: 1}
	s.dog.begun = time.Now()
	s.readers.Store(1)
	s.want.Store(1)
	w := &worker{s: s}
	w.duty.Store(true)
	s.workers[w] = struct{}{}

	const last = 5 * time.Second
	s.dog.now.Store(int64(last))
	w.req.Unique = 2
	w.begin()
	s.look(last + watchYoung)
	if !w.duty.Load() || s.want.Load() != 1 {
		t.Error("taken for slow at the first look")
	}
	if _, young, old := s.look(last + slowAfter + watchYoung); w.duty.Load() || young || !old || s.want.Load() != 1 {
		t.Errorf("%v later it still reads: %v", slowAfter+watchYoung, w.duty.Load())
	}
}

func TestManySlowOpsAreTold(t *testing.T) {
	said := make(chan bool, 16)
	b := newBlocker()
	k := serve(t, Config{Slow: func(slow bool) { said <- slow }}, b.serve)
	var slow []chan answer
	begin := func() {
		_, c := k.send(opLookup, 99, "there")
		<-b.in
		slow = append(slow, c)
	}
	told := func(want bool) {
		select {
		case got := <-said:
			if got != want {
				t.Fatalf("told %v of %d slow ops", got, len(slow))
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("not told %v of %d slow ops", want, len(slow))
		}
	}
	for range maxReaders {
		begin()
	}
	select {
	case got := <-said:
		t.Fatalf("told %v of %d slow ops", got, len(slow))
	case <-time.After(2 * watchPeriod):
	}
	begin()
	told(true)
	for _, c := range slow {
		b.free <- struct{}{}
		k.want(k.take(c), 0, 128)
	}
	told(false)
}
