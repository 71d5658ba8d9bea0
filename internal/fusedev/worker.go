package fusedev

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jacobsa/fuse"
	"github.com/tierfs/tierfs/internal/sys"
	"golang.org/x/sys/unix"
)

// pairMessage bounds a message through the socket pair: the largest extended
// attribute (64 KiB, xattr(7)) and its headers, or a listing cut to size.
const pairMessage = 96 << 10

// MaxBody is the most that Request.Room gives: the largest extended attribute,
// and a piece of a listing, for which the kernel may offer more.
const MaxBody = 64 << 10

// A worker reads requests from /dev/fuse and serves them in the reading
// goroutine. It has a jacobsa/fuse connection of its own at the other end of a
// socket pair: what that library parses goes in as the kernel sent it, comes
// back from ReadOp as an op at once, and its reply comes out of the pair.
type worker struct {
	s    *Server
	peer int // our end of the pair
	conn *fuse.Connection
	wake chan bool // parked: true is "read", false is "end"

	req                   Request
	memory                []byte // buf and drain
	buf                   []byte
	drain                 []byte // what comes out of the pair, or the body of an answer that does not
	spareEntry, spareAttr []byte // see spareRoom

	turn  turn
	self  bool // the worker claimed the request, not the watchdog
	spent bool // to end after this request: its pair or its thread is in an unknown state

	// duty says that this worker is a reader: it reads the next request when
	// this one is served. The watchdog takes it away from a slow op.
	duty atomic.Bool

	// What the watchdog looks at. state is 0 between ops, the request's unique
	// number (always even) while it waits for its answer, and that number + 1
	// once somebody has claimed to answer it.
	state       atomic.Uint64
	start       atomic.Int64  // ns on the server's clock
	pid         atomic.Uint32 // the client's thread
	interrupted atomic.Bool
	spare       atomic.Pointer[[]byte]
	verdict     atomic.Int32 // what the watchdog's claim led to
	handled     atomic.Bool  // the watchdog has passed on this op's reading
	rank        atomic.Int32 // of the tier that the op works on alone, or -1
	writtenOff  atomic.Bool  // answered for by the watchdog: another has its place
}

// Verdicts.
const (
	verdictNone  = iota
	verdictSpare // the kernel took the spare answer
	verdictError // an error was sent, or nobody waited
)

// newWorker starts a worker, which the caller has counted in s.live and
// s.started; it reads at once. After an error the caller counts it out again.
func newWorker(s *Server) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w; raise the limit of open files", err)
	}
	for _, fd := range pair {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2*pairMessage)
	}
	w := &worker{s: s, peer: pair[1], wake: make(chan bool, 1),
		spareEntry: make([]byte, outHeaderSize+entrySize), spareAttr: make([]byte, outHeaderSize+attrOutSize)}
	w.req.w = w
	w.duty.Store(true)
	err = w.takeMemory()
	if err == nil {
		if _, err = unix.Write(w.peer, syntheticInit()); err != nil {
			err = fmt.Errorf("socketpair: %w; raise the limit of open files", err)
		}
	}
	if err != nil {
		unix.Close(pair[0])
		w.close()
		return err
	}
	s.enlist(w)
	_, err = fuse.Mount(fmt.Sprintf("/dev/fd/%d", pair[0]), w, &fuse.MountConfig{OpContext: context.Background(), MaxWrite: pairMessage})
	if err != nil {
		s.strike(w)
		w.close()
		return fmt.Errorf("jacobsa/fuse: %w", err)
	}
	return nil
}

// takeMemory gives the worker its buffers, outside of Go's heap: of a megabyte hardly a
// page is ever used, which the collector would count and the allocator clear.
func (w *worker) takeMemory() (err error) {
	w.memory, err = unix.Mmap(-1, 0, bufferSize+pairMessage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("mmap: %w; see that there is memory", err)
	}
	w.buf, w.drain = w.memory[:bufferSize:bufferSize], w.memory[bufferSize:]
	return nil
}

// close gives back what the worker holds. Nothing that an op was given outlives the op.
func (w *worker) close() {
	unix.Close(w.peer)
	if w.memory != nil {
		_ = unix.Munmap(w.memory)
	}
}

// ServeOps is called by jacobsa/fuse once its connection stands.
func (w *worker) ServeOps(c *fuse.Connection) {
	defer w.s.discharge(w)
	defer w.close()
	w.conn = c
	if _, err := unix.Read(w.peer, w.drain); err != nil { // its answer to the synthetic INIT
		w.s.cfg.Log.Error("jacobsa/fuse gave no INIT answer; please report it", "err", err)
		return
	}
	for w.duty.Load() || w.s.park(w) {
		n, err := readRequest(w.s.dev, w.buf)
		if err != nil {
			w.s.hangUp(err)
			return
		}
		w.serve(w.buf[:n])
		if w.spent || w.writtenOff.Load() {
			return
		}
		w.s.relieve(w)
		w.turn.take(w.start.Load())
	}
}

// serve answers one request.
func (w *worker) serve(msg []byte) {
	r := &w.req
	r.Header = parseHeader(msg)
	w.s.count(r.Opcode)
	if r.Opcode == opInterrupt {
		w.s.interrupt(r, msg[inHeaderSize:])
		return
	}
	w.begin()
	defer w.finish()
	if slowOp[r.Opcode%opCount] {
		w.s.pass(w)
	}
	op, err := decode(&r.Header, msg[inHeaderSize:], w.s.use)
	switch {
	case err != nil:
		r.errno(unix.EIO)
	case op != nil:
		w.serveOwn(op)
	default:
		w.serveJacobsa(msg)
	}
}

// slowOp marks the ops that move data through the daemon or wait for a disk.
var slowOp = [opCount]bool{
	opRead: true, opWrite: true, opFsync: true, opFsyncdir: true, opSyncfs: true, opFallocate: true,
	opCopyFileRange: true, opCopyFileRange64: true,
}

// noReply reports whether the kernel expects no answer to opcode.
func noReply(opcode uint32) bool { return opcode == opForget || opcode == opBatchForget }

// begin opens the request to the watchdog.
func (w *worker) begin() {
	w.self = false
	w.interrupted.Store(false)
	w.handled.Store(false)
	w.spare.Store(nil)
	w.verdict.Store(verdictNone)
	w.pid.Store(w.req.PID)
	w.rank.Store(-1)
	w.start.Store(w.s.clock())
	state := w.req.Unique
	if noReply(w.req.Opcode) {
		w.self = true
		state++
	}
	w.state.Store(state)
	w.s.dog.rouse() // if it fell asleep since the clock was read
}

// finish closes it. A claim by the watchdog is waited out: it is about to
// write, and its verdict must not reach the next request.
func (w *worker) finish() {
	if !w.self && !w.claim(w.req.Unique) {
		w.awaitVerdict()
	}
	w.state.Store(0)
}

// claim takes the right to answer; false means that the watchdog has it.
func (w *worker) claim(unique uint64) bool {
	if w.state.CompareAndSwap(unique, unique+1) {
		w.self = true
		return true
	}
	return false
}

// answered reports whether somebody has claimed the request.
func (w *worker) answered(unique uint64) bool { return w.state.Load() == unique+1 }

// spared reports whether the watchdog gave the request its spare answer.
func (w *worker) spared(unique uint64) bool {
	return !w.self && w.awaitVerdict() == verdictSpare
}

func (w *worker) awaitVerdict() int32 {
	for {
		if v := w.verdict.Load(); v != verdictNone {
			return v
		}
		runtime.Gosched()
	}
}

// serveOwn serves an op that we decoded ourselves.
func (w *worker) serveOwn(op any) {
	err := w.call(op)
	if err != nil {
		w.req.errno(w.s.fault(err))
		return
	}
	if w.state.Load() == w.req.Unique {
		w.req.errno(0)
	}
}

// serveJacobsa lets jacobsa/fuse parse the request and encode the reply. A
// reply that the handler has given already is dropped.
func (w *worker) serveJacobsa(msg []byte) {
	r := &w.req
	if _, err := unix.Write(w.peer, msg); err != nil {
		w.broken("sending to jacobsa/fuse", err)
		return
	}
	ctx, op, err := w.conn.ReadOp()
	if err != nil {
		w.broken("jacobsa/fuse could not parse", err)
		return
	}
	err = w.call(op)
	if err != nil {
		err = w.s.fault(err)
	}
	if err := w.conn.Reply(ctx, err); err != nil {
		w.broken("jacobsa/fuse could not reply", err)
		return
	}
	n, err := unix.Read(w.peer, w.drain)
	if err != nil {
		w.broken("reading from jacobsa/fuse", err)
		return
	}
	if w.claim(r.Unique) {
		_, err = unix.Write(w.s.dev, w.drain[:n])
		r.taken(err)
	}
}

// broken answers EIO for a request that the pair lost. What it may still hold
// must not be taken for another's, so the worker ends.
func (w *worker) broken(what string, err error) {
	w.spent = true
	w.s.cfg.Log.Error("a request was lost, and its client gets EIO; please report it", "at", what, "op", opName(w.req.Opcode), "err", err)
	w.req.errno(unix.EIO)
}

// call runs the handler. A panic in one op is an EIO and a line in the log;
// the mount stays up.
func (w *worker) call(op any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.spent = w.spent || p == sys.ErrLostThread
			w.s.cfg.Log.Error("panic in an op, whose client gets EIO; please report it", "op", opName(w.req.Opcode), "node", w.req.Node, "panic", p, "stack", string(debug.Stack()))
			err = unix.EIO
		}
	}()
	if w.s.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		defer func(begin time.Time) { w.trace(op, err, time.Since(begin)) }(time.Now())
	}
	return w.s.handler.Serve(&w.req, op)
}

// trace logs an op, for the option debug.
func (w *worker) trace(op any, err error, took time.Duration) {
	r := &w.req
	w.s.cfg.Log.Debug(opName(r.Opcode), "node", r.Node, "args", describe(op), "uid", r.UID, "pid", r.PID, "err", err, "took", took)
}

// describe shows the names and numbers of an op, and none of its data.
func describe(op any) string {
	v := reflect.Indirect(reflect.ValueOf(op))
	var b strings.Builder
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			fmt.Fprintf(&b, "%s=%q ", v.Type().Field(i).Name, f.String())
		case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Bool:
			fmt.Fprintf(&b, "%s=%v ", v.Type().Field(i).Name, f)
		}
	}
	return strings.TrimSpace(b.String())
}

// toErrno makes err what the kernel understands.
func toErrno(err error) unix.Errno {
	if e, ok := err.(unix.Errno); ok && e > 0 {
		return e
	}
	return unix.EIO
}
