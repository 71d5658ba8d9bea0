package fusedev

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jacobsa/fuse/fuseops"
	"golang.org/x/sys/unix"
)

// small is a filesystem that answers each kind of op in the way that kind is
// answered: by itself through the request, by the library, or by an errno.
func small(r *Request, op any) error {
	e := &Entry{Node: 5, Stat: &sampleStat, AttrTTL: time.Second}
	switch op := op.(type) {
	case *LookupOp:
		switch op.Name {
		case "there":
			r.Entry(e)
			return nil
		case "odd":
			return fmt.Errorf("wrapped: %w", unix.ENOENT)
		case "negative":
			return unix.Errno(0)
		}
		return unix.ENOENT
	case *GetattrOp:
		r.Attr(e)
	case *CreateOp:
		r.Created(e, Open{Handle: 9, Flags: OpenNoFlush})
	case *MkdirOp:
		r.Entry(e)
	case *fuseops.OpenFileOp:
		r.Opened(Open{Handle: 8})
	case *LseekOp:
		r.Uint64(uint64(op.Offset + 1))
	case *WriteOp:
		r.Written(len(op.Data))
	case *ReadOp:
		r.Data(bytes.Repeat([]byte{'r'}, op.Size))
	case *IoctlOp:
		r.Ioctl([]byte("flag"))
	case *StatxOp:
		r.Statx(e, &unix.Statx_t{Mask: op.Mask, Ino: 3})
	case *SyncOp, *SetxattrOp, *fuseops.ReleaseFileHandleOp, *fuseops.UnlinkOp, *fuseops.RmDirOp, *RenameOp:
		return nil // plain success, said by whoever decoded it
	case *fuseops.ReadSymlinkOp:
		op.Target = "to/there"
	case *GetxattrOp:
		if op.Size == 0 {
			r.Size(len("value"))
		} else {
			r.Data([]byte("value"))
		}
	case *fuseops.StatFSOp:
		op.BlockSize, op.Blocks = 4096, 7
	case *ReaddirOp:
		dst := r.Room(op.Size)
		r.Data(dst[:PutDirent(dst, 3, 1, "row", unix.DT_REG)])
	case *ForgetOp:
		return nil
	default:
		return unix.ENOSYS
	}
	return nil
}

func TestServerAnswersEveryKindOfOp(t *testing.T) {
	type u32s = []uint32
	type u64s = []uint64
	k := serve(t, Config{}, small)
	var e entryOut
	var a attrOut
	var o openOut

	unpack(t, k.want(k.call(opLookup, 1, "there"), 0, 128), &e)
	if e.Node != 5 || e.Attr != sampleAttr {
		t.Errorf("LOOKUP: %+v", e)
	}
	k.want(k.call(opLookup, 1, "missing"), unix.ENOENT, 0)
	k.want(k.call(opLookup, 1, "odd"), unix.EIO, 0)
	k.want(k.call(opLookup, 1, "negative"), unix.EIO, 0) // errno 0 is no error to return
	unpack(t, k.want(k.call(opGetattr, 5, u32s{0, 0}, u64s{0}), 0, 104), &a)
	if a.Attr != sampleAttr || a.AttrValid != 1 {
		t.Errorf("GETATTR: %+v", a)
	}
	unpack(t, unpack(t, k.want(k.call(opCreate, 1, u32s{0, 0, 0, 0}, "new"), 0, 144), &e), &o)
	if e.Node != 5 || o.Fh != 9 || o.OpenFlags != OpenNoFlush {
		t.Errorf("CREATE: %+v %+v", e, o)
	}
	k.want(k.call(opMkdir, 1, u32s{0, 0}, "d"), 0, 128)
	unpack(t, k.want(k.call(opOpen, 5, u32s{0, 0}), 0, 16), &o)
	if o.Fh != 8 {
		t.Errorf("OPEN: %+v", o)
	}
	if b := k.want(k.call(opLseek, 5, u64s{8, 41}, u32s{3, 0}), 0, 8); order.Uint64(b) != 42 {
		t.Errorf("LSEEK: %v", b)
	}
	if b := k.want(k.call(opIoctl, 5, u64s{8}, u32s{0, 1}, u64s{0}, u32s{0, 4}), 0, 20); string(b[16:]) != "flag" || !bytes.Equal(b[:16], make([]byte, 16)) {
		t.Errorf("IOCTL: %q", b)
	}
	var sx statxOut
	unpack(t, k.want(k.call(opStatx, 5, u32s{0, 0}, u64s{0}, u32s{0, 0x7ff}), 0, 288), &sx)
	if sx.Stat.Mask != 0x7ff || sx.Stat.Ino != 3 || sx.AttrValid != 1 {
		t.Errorf("STATX: %+v", sx)
	}
	k.want(k.call(opFsync, 5, u64s{8}, u32s{0, 0}), 0, 0)
	k.want(k.call(opSetxattr, 5, u32s{1, 0, 0, 0}, "user.a", []byte("v")), 0, 0)
	k.want(k.call(opRelease, 5, u64s{8}, u32s{0, 0}, u64s{0}), 0, 0)
	k.want(k.call(opUnlink, 1, "there"), 0, 0)
	if b := k.want(k.call(opReadlink, 5), 0, 8); string(b) != "to/there" {
		t.Errorf("READLINK: %q", b)
	}
	if b := k.want(k.call(opGetxattr, 5, u32s{64, 0}, "user.a"), 0, 5); string(b) != "value" {
		t.Errorf("GETXATTR: %q", b)
	}
	k.want(k.call(opStatfs, 1), 0, 80)
	k.want(k.call(opReaddir, 1, u64s{8, 0}, u32s{4096, 0}, u64s{0}, u32s{0, 0}), 0, 32)
}

func TestServerCarriesData(t *testing.T) {
	k := serve(t, Config{}, small)
	data := bytes.Repeat([]byte{'w'}, 100_000)
	b := k.want(k.call(opWrite, 5, []uint64{8, 0}, []uint32{uint32(len(data)), 0}, []uint64{0}, []uint32{0, 0}, data), 0, 8)
	if n := order.Uint32(b); n != uint32(len(data)) {
		t.Errorf("WRITE: %d", n)
	}
	b = k.want(k.call(opRead, 5, []uint64{8, 0}, []uint32{100_000, 0}, []uint64{0}, []uint32{0, 0}), 0, 100_000)
	if len(bytes.Trim(b, "r")) > 0 {
		t.Error("READ: other bytes")
	}
}

// POLL and what kernels to come may send: ENOSYS, after which they do not ask
// again. EIO would be an error to the program that asked.
func TestUnknownOpIsENOSYS(t *testing.T) {
	k := serve(t, Config{}, small)
	for _, opcode := range []uint32{40, 54, 63, 64, 1000} {
		k.want(k.call(opcode, 5, make([]byte, 24)), unix.ENOSYS, 0)
	}
	k.want(k.call(opLookup, 1, "there"), 0, 128)
}

func TestRequestCutShortIsEIO(t *testing.T) {
	k := serve(t, Config{}, small)
	for _, opcode := range []uint32{opCreate, opWrite, opRename2, opOpen, opGetxattr, opLookup} {
		k.want(k.call(opcode, 5, []byte{1, 2, 3}), unix.EIO, 0)
	}
	k.want(k.call(opLookup, 1, "there"), 0, 128)
}

// A request that the library cannot parse leaves the pair in an unknown state,
// and its worker ends. Another must read then, even if it was the only one.
func TestWorkerThatEndsIsReplaced(t *testing.T) {
	k := serve(t, Config{Threads: 1}, small)
	for range 5 {
		k.want(k.call(opLookup, 1, []byte("no end")), unix.EIO, 0)
		k.want(k.call(opLookup, 1, "there"), 0, 128)
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.s.started != 1 || k.s.readers.Load() != 1 || len(k.s.workers) != 1 {
		t.Errorf("%d workers are counted, %d there, %d read", k.s.started, len(k.s.workers), k.s.readers.Load())
	}
}

func TestForgetHasNoAnswer(t *testing.T) {
	var forgotten atomic.Uint64
	k := serve(t, Config{}, func(r *Request, op any) error {
		if op, ok := op.(*ForgetOp); ok {
			for _, e := range op.Entries {
				forgotten.Add(e.N)
			}
			return unix.EIO // even then
		}
		return small(r, op)
	})
	k.write(message(opForget, k.number(), 5, 0, []uint64{3}))
	const many = 8000 // 128 KB: more than a message through the pair can hold
	k.write(message(opBatchForget, k.number(), 0, 0, []uint32{many, 0}, bytes.Repeat(pack([]uint64{5, 10}), many)))
	k.want(k.call(opLookup, 1, "there"), 0, 128)
	for begun := time.Now(); forgotten.Load() != 3+10*many; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("%d lookups were forgotten, want %d", forgotten.Load(), 3+10*many)
		}
	}
}

func TestStatsCountsByName(t *testing.T) {
	k := serve(t, Config{}, small)
	for range 3 {
		k.call(opLookup, 1, "there")
	}
	k.call(opCopyFileRange64, 1, make([]byte, 56))
	for _, opcode := range []uint32{opPoll, opPoll, 57, opCount, opCount + opLookup} {
		k.call(opcode, 1)
	}
	stats := k.s.Stats()
	if stats["LOOKUP"] != 3 || stats["COPY_FILE_RANGE_64"] != 1 || stats["POLL"] != 2 || stats["GETATTR"] != 0 ||
		stats["op 57"] != 1 || stats["op 64 and above"] != 2 {
		t.Errorf("got %v", stats)
	}
}

// blocker is a filesystem where the op on node 99 waits until it is let go.
type blocker struct {
	in   chan *Request
	free chan struct{}
}

func newBlocker() *blocker {
	return &blocker{in: make(chan *Request, 100), free: make(chan struct{})}
}

func (b *blocker) serve(r *Request, op any) error {
	if r.Node == 99 {
		b.in <- r
		<-b.free
	}
	return small(r, op)
}

func TestBlockedOpDoesNotHoldUpTheNext(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{}, b.serve)
	var blocked []chan answer
	// next is how long the next op takes behind one more blocked op.
	next := func(opcode uint32) time.Duration {
		body := any("there")
		if opcode == opRead || opcode == opFsync {
			body = make([]byte, 40)
		}
		_, c := k.send(opcode, 99, body)
		blocked = append(blocked, c)
		<-b.in
		begun := time.Now()
		k.want(k.call(opLookup, 1, "there"), 0, 128)
		return time.Since(begun)
	}
	for _, opcode := range []uint32{opLookup, opRead, opUnlink, opFsync} { // the library's and our own, fast by kind and slow
		took := next(opcode)
		for n := 0; took > 50*time.Millisecond && n < 3; n++ { // a busy machine may be to blame, once
			took = next(opcode)
		}
		if took > 50*time.Millisecond {
			t.Errorf("behind %d blocked ops the next took %v", len(blocked), took)
		}
	}
	for _, c := range blocked {
		k.quiet(c, 0)
	}
	close(b.free)
	for _, c := range blocked {
		if a := k.take(c); a.errno != 0 {
			t.Errorf("a blocked op: %v", a.errno)
		}
	}
}

// No more ops at once than threads: the next waits for one of them.
func TestThreadsBoundHowManyAreServed(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{Threads: 3}, b.serve)
	var blocked []chan answer
	for range 3 {
		_, c := k.send(opLookup, 99, "there")
		blocked = append(blocked, c)
		<-b.in
	}
	_, next := k.send(opLookup, 1, "there")
	k.quiet(next, 50*time.Millisecond)
	b.free <- struct{}{}
	k.want(k.take(next), 0, 128)
	close(b.free)
	for _, c := range blocked {
		k.want(k.take(c), 0, 128)
	}
}

// After a time with slow ops one reader is enough again, and few workers stay.
func TestReadersBecomeFewAgain(t *testing.T) {
	b := newBlocker()
	k := serve(t, Config{}, b.serve)
	var blocked []chan answer
	for range 30 {
		_, c := k.send(opLookup, 99, "there")
		blocked = append(blocked, c)
		<-b.in
	}
	close(b.free)
	for _, c := range blocked {
		k.want(k.take(c), 0, 128)
	}
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		k.want(k.call(opLookup, 1, "there"), 0, 128)
		k.s.mu.Lock()
		readers, parked, started := k.s.readers.Load(), len(k.s.parked), k.s.started
		k.s.mu.Unlock()
		if readers == 1 && parked <= keepParked && int(started) == parked+1 {
			return
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d readers, %d parked, %d workers", readers, parked, started)
		}
	}
}

func TestPanicIsEIOAndTheMountStaysUp(t *testing.T) {
	var log syncBuffer
	k := serve(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(r *Request, op any) error {
		switch r.Node {
		case 99:
			panic("broken invariant")
		case 98:
			r.Entry(&Entry{Node: 5, Stat: &sampleStat})
			panic("after the answer")
		}
		return small(r, op)
	})
	for range 3 {
		k.want(k.call(opLookup, 99, "there"), unix.EIO, 0)                        // the library's
		k.want(k.call(opMkdir, 99, []uint32{0, 0}, "d"), unix.EIO, 0)             // our own
		k.want(k.call(opRead, 99, make([]byte, 40)), unix.EIO, 0)                 // a slow one
		k.want(k.call(opLookup, 98, "there"), 0, 128)                             // answered already
		k.want(k.call(opLookup, 1, "there"), 0, 128)                              // the next
		k.want(k.call(opUnlink, 99, "there"), unix.EIO, 0)                        // a plain one
		k.write(message(opForget, k.number(), 99, 0, []uint64{1}))                // no answer even so
		k.want(k.call(opGetattr, 1, []uint32{0, 0}, []uint64{0}), 0, attrOutSize) // the next
	}
	for _, want := range []string{"op=LOOKUP", "node=99", "broken invariant", "server_test.go"} {
		if !bytes.Contains(log.bytes(), []byte(want)) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// syncBuffer is a log that several workers write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}

// Many clients, handlers that answer at once, late, twice or after the
// watchdog did. The reader of answers fails for a second one to a request; here
// each handler must be told truly whether its answer was the one.
func TestEveryRequestIsAnsweredOnce(t *testing.T) {
	var taken, spared atomic.Int64
	stuck := func(age time.Duration, _ int) bool { return age > 6*time.Millisecond }
	k := serve(t, Config{Threads: 32, Stuck: stuck}, func(r *Request, op any) error {
		e := &Entry{Node: r.Node, Stat: &sampleStat}
		if r.Node%3 == 0 {
			r.MaySlow()
		}
		if r.Node%5 == 0 {
			time.Sleep(time.Duration(rand.IntN(10_000)) * time.Microsecond)
		}
		if r.Node%101 == 0 {
			r.SpareEntry(e)
			time.Sleep(SpareAfter + time.Duration(rand.IntN(3))*time.Millisecond)
		}
		if r.Entry(e) {
			taken.Add(1)
		}
		if r.Entry(e) || r.Attr(e) || r.Opened(Open{}) || r.Data(nil) {
			t.Error("a second answer was taken")
		}
		if r.SpareSent() {
			spared.Add(1)
		}
		return nil
	})
	var entries, errors atomic.Int64
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for i := range 150 {
				node := uint64(2 + c + 8*i)
				a := k.call(opLookup, node, "name")
				switch {
				case a.errno == unix.EIO:
					errors.Add(1)
				case a.errno != 0 || len(a.body) != entrySize || order.Uint64(a.body) != node:
					t.Errorf("node %d: %v, %d bytes", node, a.errno, len(a.body))
				default:
					entries.Add(1)
				}
			}
		})
	}
	clients.Wait()
	k.settled()
	if entries.Load() != taken.Load()+spared.Load() {
		t.Errorf("%d entries arrived; the handlers think %d and %d spare ones", entries.Load(), taken.Load(), spared.Load())
	}
	if errors.Load() == 0 || taken.Load() == 0 {
		t.Errorf("nothing was shown: %d errors, %d answers", errors.Load(), taken.Load())
	}
}

// settled waits until no op is under way.
func (k *kernel) settled() {
	k.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		busy := 0
		k.s.mu.Lock()
		for w := range k.s.workers {
			if w.state.Load() != 0 {
				busy++
			}
		}
		k.s.mu.Unlock()
		if busy == 0 {
			return
		}
		if time.Since(begun) > 5*time.Second {
			k.Fatalf("%d ops are still under way", busy)
		}
	}
}

func TestRefusedAnswerIsEIO(t *testing.T) {
	fd, dev := pair(t)
	defer unix.Close(fd)
	defer unix.Close(dev)
	r := Request{w: &worker{s: &Server{dev: dev, cfg: Config{Log: quietLog()}}}, Header: Header{Unique: 8, Opcode: opLookup}}
	if !r.taken(nil) {
		t.Error("an answer that was written is not taken")
	}
	if r.taken(unix.ENOENT) { // the client was killed: nobody waits
		t.Error("an answer that nobody waited for is taken")
	}
	if r.taken(unix.EINVAL) {
		t.Error("a refused answer is taken")
	}
	b := make([]byte, 64)
	n, err := unix.Read(fd, b)
	var h outHeader
	if rest := unpack(t, b[:n], &h); err != nil || h != (outHeader{16, -int32(unix.EIO), 8}) || len(rest) > 0 {
		t.Errorf("then the kernel got %+v, %v", h, err)
	}
	if n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("and %d bytes more, %v", n, err)
	}
}

func TestToErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want unix.Errno
	}{
		{unix.ENOENT, unix.ENOENT}, {unix.Errno(0), unix.EIO}, {errors.New("text"), unix.EIO}, {fmt.Errorf("%w", unix.ENOENT), unix.EIO},
	} {
		if got := toErrno(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// TestReaderThatCouldNotBeStartedIsTriedAgain: the only worker was stuck, there
// was no descriptor for another, and so nobody read as long as it was.
func TestReaderThatCouldNotBeStartedIsTriedAgain(t *testing.T) {
	release := make(chan struct{})
	k := serve(t, Config{}, func(r *Request, op any) error {
		if l, ok := op.(*LookupOp); ok && l.Name == "stuck" {
			<-release
		}
		return small(r, op)
	})
	enough := noDescriptors(t)
	_, stuck := k.send(opLookup, 1, "stuck")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		k.s.mu.Lock()
		failed := k.s.readers.Load() == 0 && k.s.started == 0 // and the stuck one is written off
		k.s.mu.Unlock()
		if failed {
			break
		}
		if time.Now().After(end) {
			t.Fatal("another worker was started without a descriptor")
		}
	}
	enough()
	k.want(k.call(opLookup, 1, "there"), 0, 128)
	close(release)
	k.want(k.take(stuck), unix.ENOENT, 0)
}

// noDescriptors lets the process open nothing more until enough is called.
func noDescriptors(t *testing.T) (enough func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	next, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(next)
	enough = func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &was) }
	t.Cleanup(enough)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	return enough
}

// The watchdog may be writing the first while a handler leaves a second.
func TestSecondSpareAnswerIsSomewhereElse(t *testing.T) {
	w := &worker{spareAttr: make([]byte, outHeaderSize+attrOutSize)}
	r := &Request{w: w}
	first := r.spareRoom(&w.spareAttr)
	r.spare(first)
	second := r.spareRoom(&w.spareAttr)
	if &(*first)[0] == &(*second)[0] || len(*first) != len(*second) {
		t.Error("it is in the same place, or of another size")
	}
	w.spare.Store(nil) // as the next request begins
	if again := r.spareRoom(&w.spareAttr); again != first {
		t.Error("the next request's is not in the worker's own place")
	}
}
