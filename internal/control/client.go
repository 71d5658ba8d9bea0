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
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoDaemon says that no daemon listens on the socket.
var ErrNoDaemon = errors.New("no daemon listens")

// answerTime bounds a call. It is longer than the server's own bounds, so that
// the server's answer is the one that is seen.
const answerTime = 75 * time.Second

// Client speaks to one daemon.
type Client struct {
	path  string
	owner int // the user whose daemon it must be
	http  http.Client
}

// NewClient returns a client for the socket path of a daemon of owner. A
// listener of anyone else but root is refused: root may ask for a socket that
// lies in a user's directory.
func NewClient(path string, owner int) *Client {
	c := &Client{path: path, owner: owner}
	c.http = http.Client{
		Timeout: answerTime,
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
	uid, err := peer(conn)
	if err == nil && uid != 0 && uid != c.owner {
		err = fmt.Errorf("%s: user %d listens there, not user %d; remove it", c.path, uid, c.owner)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Status asks for GET /v1/status.
func (c *Client) Status() (Status, error) {
	var s Status
	return s, c.call(http.MethodGet, "/v1/status", nil, &s)
}

// Remount asks for POST /v1/remount. The error is the daemon's own text.
func (c *Client) Remount(r Remount) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.call(http.MethodPost, "/v1/remount", body, &struct{}{})
}

func (c *Client) call(method, path string, body []byte, into any) error {
	req, err := http.NewRequest(method, "http://tierfs"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, ErrNoDaemon) {
		return ErrNoDaemon
	}
	if err != nil {
		return fmt.Errorf("control socket %s: %w", c.path, bare(err))
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(io.LimitReader(resp.Body, maxBody))
	if resp.StatusCode != http.StatusOK {
		var f failure
		if dec.Decode(&f) != nil || f.Error == "" {
			return fmt.Errorf("control socket %s: %s; is the daemon of another release?", c.path, resp.Status)
		}
		return errors.New(f.Error)
	}
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("control socket %s: %w; is the daemon of another release?", c.path, err)
	}
	return nil
}

// bare takes off the method and the URL, which name no real host.
func bare(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
