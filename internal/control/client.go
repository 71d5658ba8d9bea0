package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoDaemon says that no daemon listens on the socket.
var ErrNoDaemon = errors.New("no daemon listens")

// SilentError says that a daemon listens and has not answered in time.
type SilentError struct {
	PID int // 0 if it is not known
	For time.Duration
}

func (e *SilentError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("its daemon does not answer (waited %v); see what it does with ps, or kill it, umount -l and mount again", e.For)
	}
	return fmt.Sprintf("daemon %d does not answer (waited %v); kill -CONT %[1]d if ps shows it stopped, else kill it, umount -l and mount again", e.PID, e.For)
}

// Silent reports whether err says that.
func Silent(err error) bool {
	var silent *SilentError
	return errors.As(err, &silent)
}

// HungError says that a daemon answers, while what it was asked waits for tiers.
type HungError struct{ Tiers []string }

func (e *HungError) Error() string {
	return fmt.Sprintf("%s; the job ends when that answers; check its disk or server", e.What())
}

// What names the tiers.
func (e *HungError) What() string {
	var roots []string
	for _, t := range e.Tiers {
		roots = append(roots, fmt.Sprintf("%q", t))
	}
	return fmt.Sprintf("tier %s does not answer", strings.Join(roots, ", "))
}

// Hung is the HungError of a job that does not get on, nil if all tiers answer or the
// daemon does not either.
func (c *Client) Hung() *HungError {
	st, err := c.Status()
	if err != nil {
		return nil
	}
	return st.Hung()
}

// Hung names the tiers that do not answer, nil if all do.
func (s Status) Hung() *HungError {
	var e HungError
	for _, t := range s.Tiers {
		if t.Away || t.Stalled {
			e.Tiers = append(e.Tiers, t.Path)
		}
	}
	if len(e.Tiers) == 0 {
		return nil
	}
	return &e
}

// How long the daemon may take. A remount waits for tiers, and for longer than
// the server's own bounds, so that the server's answer is the one that is seen;
// a status waits for nothing.
const (
	remountTime = 75 * time.Second
	statusTime  = 5 * time.Second
)

// Client speaks to one daemon.
type Client struct {
	path  string
	owner int          // the user whose daemon it must be
	pid   atomic.Int32 // of who listens, once connected
	http  http.Client
}

// NewClient returns a client for the socket path of a daemon of owner. A
// listener of anyone else but root is refused: root may ask for a socket that
// lies in a user's directory.
func NewClient(path string, owner int) *Client {
	c := &Client{path: path, owner: owner}
	c.http = http.Client{
		Transport: &http.Transport{
			DialContext:            c.dial,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
	return c
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, ErrNoDaemon
	}
	if err != nil {
		return nil, err
	}
	cred, err := peer(conn)
	if uid := int(cred.Uid); err == nil && uid != 0 && uid != c.owner {
		err = fmt.Errorf("user %d listens there, not user %d; remove it", uid, c.owner)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.pid.Store(cred.Pid)
	return conn, nil
}

// PID is the process that listens, by the kernel's word: it need not answer.
func (c *Client) PID() (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	conn, err := c.dial(ctx, "", "")
	if err != nil {
		return 0, err
	}
	conn.Close()
	return int(c.pid.Load()), nil
}

// Status asks for GET /v1/status.
func (c *Client) Status() (Status, error) {
	var s Status
	return s, c.call(statusTime, http.MethodGet, "/v1/status", nil, &s)
}

// Remount asks for POST /v1/remount. The error is the daemon's own text.
func (c *Client) Remount(r Remount) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.call(remountTime, http.MethodPost, "/v1/remount", body, &struct{}{})
}

// call waits no longer than patience, for the whole answer.
func (c *Client) call(patience time.Duration, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := c.do(ctx, method, path, body, into)
	if err != nil && ctx.Err() != nil {
		return &SilentError{int(c.pid.Load()), patience}
	}
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://tierfs"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, ErrNoDaemon) {
		return ErrNoDaemon
	}
	if err != nil {
		return c.unheard(err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(io.LimitReader(resp.Body, maxBody))
	if resp.StatusCode != http.StatusOK {
		var f failure
		if dec.Decode(&f) != nil || f.Error == "" {
			return c.strange(errors.New(resp.Status))
		}
		return errors.New(f.Error)
	}
	if err := dec.Decode(into); err != nil {
		return c.strange(err)
	}
	return nil
}

var errGone = errors.New("the daemon has gone without an answer; see the system log")

// closedIdle is what net/http, which has no name for it, says of a connection
// that was closed before the request was sent.
const closedIdle = "http: server closed idle connection"

// unheard is the error of a request that got no answer, without the method and
// the URL, which name no real host.
func (c *Client) unheard(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || err.Error() == closedIdle {
		err = errGone
	}
	return fmt.Errorf("control socket %s: %w", c.path, err)
}

// strange is the error of an answer that cannot be read.
func (c *Client) strange(err error) error {
	return fmt.Errorf("control socket %s: %w; if its daemon is of another release, unmount and mount again", c.path, err)
}
