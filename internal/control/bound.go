package control

import (
	"net"
	"sync"
)

// Connections at a time. Each costs a descriptor, of which clients of the mount
// need as many as there are. Strangers come at all only where somebody has
// opened the directory to them.
const (
	maxOurs      = 64
	maxStrangers = 8
)

// bounded closes connections that are too many, at once.
type bounded struct {
	net.Listener
	own int

	mu   sync.Mutex
	open map[bool]int // GUARDED_BY(mu): by whether they are strangers
}

func bound(l net.Listener, own int) *bounded {
	return &bounded{Listener: l, own: own, open: map[bool]int{}}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		unix, ok := conn.(*net.UnixConn)
		cred, err := peer(conn)
		stranger := err != nil || !allowed(int(cred.Uid), b.own)
		if ok && b.admit(stranger) {
			return &counted{UnixConn: unix, leave: sync.OnceFunc(func() { b.leave(stranger) })}, nil
		}
		conn.Close()
	}
}

func (b *bounded) admit(stranger bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := maxOurs
	if stranger {
		most = maxStrangers
	}
	if b.open[stranger] >= most {
		return false
	}
	b.open[stranger]++
	return true
}

func (b *bounded) leave(stranger bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[stranger]--
}

// counted is a connection that counts until it is closed.
type counted struct {
	*net.UnixConn
	leave func()
}

func (c *counted) Close() error {
	c.leave()
	return c.UnixConn.Close()
}
