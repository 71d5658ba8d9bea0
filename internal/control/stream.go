package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lineTime bounds the writing of one line to a client that does not read.
const lineTime = time.Minute

// maxLine bounds a line: a path may be six times its length in JSON.
const maxLine = 64 << 10

// lineDelay is how long a line may wait for more to be sent with it. Small files
// move by the thousand in a second, and each send wakes the client.
const lineDelay = 50 * time.Millisecond

// errLeft ends a job whose client has closed its side, or does not read.
var errLeft = errors.New("the command that asked for it was interrupted")

// lines is an answer of many JSON objects, one a line.
type lines struct {
	ctl  *http.ResponseController
	stop context.CancelCauseFunc

	mu  sync.Mutex
	out *json.Encoder // to the client; GUARDED_BY(mu)
	due *time.Timer   // will send what waits; nil if nothing does; GUARDED_BY(mu)
}

// begin makes w an answer in lines. The context ends with the client's
// interest: when it has closed its side of the connection, and when a line
// cannot be written. The server's own time limits are for short answers.
func begin(w http.ResponseWriter, r *http.Request) (context.Context, *lines) {
	ctx, stop := context.WithCancelCause(context.WithoutCancel(r.Context()))
	context.AfterFunc(r.Context(), func() { stop(errLeft) })
	l := &lines{ctl: http.NewResponseController(w), out: json.NewEncoder(w), stop: stop}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = l.ctl.SetReadDeadline(time.Time{}) // past it, the client would count as gone
	l.flush()
	return ctx, l
}

// put writes a line, to be sent soon.
func (l *lines) put(v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.ctl.SetWriteDeadline(time.Now().Add(lineTime))
	if l.out.Encode(v) != nil {
		l.stop(errLeft)
		return
	}
	if l.due == nil {
		l.due = time.AfterFunc(lineDelay, l.send)
	}
}

// send sends what waits, unless the answer has ended meanwhile.
func (l *lines) send() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due != nil {
		l.due = nil
		l.flush()
	}
}

// end is the end of the answer. The server sends what waits when the handler
// returns, and nobody else may after that.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due != nil {
		l.due.Stop()
		l.due = nil
	}
	l.stop(nil)
}

func (l *lines) flush() {
	if l.ctl.Flush() != nil {
		l.stop(errLeft)
	}
}

// errInterrupted ends a request whose answer has not begun.
var errInterrupted = errors.New("interrupted before the daemon has answered")

// stream asks for an answer in lines and hands each to fn. It has to begin at
// once; the daemon sends so much before it does anything. When ctx ends then, the
// daemon is told to stop and its last lines still come, for stopTime: only our side of
// the connection is closed.
func (c *Client) stream(ctx context.Context, method, path string, body any, fn func(line []byte) error) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answered, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	silent := time.AfterFunc(statusTime, func() { cancel(&SilentError{int(c.pid.Load()), statusTime}) })
	left := context.AfterFunc(ctx, func() { cancel(errInterrupted) })
	var conn atomic.Pointer[net.Conn]
	own := httptrace.WithClientTrace(answered, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { conn.Store(&i.Conn) },
	})
	req, err := http.NewRequestWithContext(own, method, "http://tierfs"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	forEver := c.http
	forEver.Timeout = 0
	resp, err := forEver.Do(req)
	silent.Stop()
	left()
	switch {
	case errors.Is(err, ErrNoDaemon):
		return ErrNoDaemon
	case err != nil && answered.Err() != nil:
		return context.Cause(answered)
	case err != nil:
		return c.unheard(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refusal(resp)
	}
	var hung atomic.Pointer[HungError]
	stop := context.AfterFunc(ctx, func() {
		conn := *conn.Load()
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(stopTime))
		if e := c.Hung(); e != nil {
			hung.Store(e)
			_ = conn.SetReadDeadline(time.Now().Add(hungTime))
		}
	})
	defer stop()
	err = c.eachLine(resp.Body, fn)
	if e := hung.Load(); e != nil && Silent(err) {
		return e
	}
	return err
}

// How long a daemon may take to end a job. One that is stopped, or was killed and hangs
// in a tier, has the connection open and never does; one that answers while a tier does
// not need not be waited for.
const (
	stopTime = 15 * time.Second
	hungTime = 2 * time.Second
)

func (c *Client) eachLine(r io.Reader, fn func(line []byte) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxLine)
	in.Split(wholeLines)
	for in.Scan() {
		if err := fn(in.Bytes()); err != nil {
			return err
		}
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return c.strange(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &SilentError{int(c.pid.Load()), stopTime}
	case err != nil:
		return ErrCutOff
	}
	return nil
}

// wholeLines is bufio.ScanLines, but what a daemon that has gone had written of
// a line is none.
func wholeLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

// refusal is the error in an answer that is not 200.
func (c *Client) refusal(resp *http.Response) error {
	var f failure
	if json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&f) != nil || f.Error == "" {
		return c.strange(errors.New(resp.Status))
	}
	return errors.New(f.Error)
}

// ErrCutOff says that an answer in lines has no last one.
var ErrCutOff = errors.New("the daemon has gone in the middle of its answer; see the system log")
