package tierfs

import (
	"sync"
	"time"

	"github.com/tierfs/tierfs/internal/inode"
)

// orders are what the kernel is to be told of names. Telling it waits for all ops
// on the directory that are under way, and one of them may wait for a disk; so it
// is done by workers, and another comes when those that there are do not get on.
type orders struct {
	c *coherence

	mu      sync.Mutex
	queue   []order   // GUARDED_BY(mu)
	workers int       // GUARDED_BY(mu)
	taken   time.Time // when one last took an order; GUARDED_BY(mu)
	waiting bool      // a timer will look whether they get on; GUARDED_BY(mu)
}

// order is one thing to tell. With sub it is coherence.again.
type order struct {
	parent uint64
	name   string
	expire bool
	dir    *inode.Inode
	sub    *inode.Inode
	list   bool          // of the listing of dir
	node   uint64        // of attributes, if name is ""
	wait   time.Duration // before the next try
}

const (
	orderWorkers = 2
	orderMost    = 64
	orderLate    = 5 * time.Millisecond // after it, those at work are stuck
	orderRoom    = 4096                 // orders that a sweep lets pile up
	maxOrders    = 1 << 17              // from which on everything is looked up anew instead
	retryMost    = 200 * time.Millisecond
)

// entry makes the kernel forget a name, or that there is none.
func (o *orders) entry(d *inode.Inode, name string) {
	o.put(order{dir: d, parent: d.ID, name: name})
}

// expire makes it look the name up.
func (o *orders) expire(parent uint64, name string) {
	o.put(order{parent: parent, name: name, expire: true})
}

// again is coherence.again.
func (o *orders) again(d *inode.Inode, name string, sub *inode.Inode) {
	o.put(order{dir: d, name: name, sub: sub})
}

// list makes it drop what it has of a directory's listing. That waits for who
// reads it.
func (o *orders) list(dir *inode.Inode) { o.put(order{dir: dir, list: true}) }

// lists is list for many, which may be more than are kept.
func (o *orders) lists(dirs []*inode.Inode) {
	if len(dirs) == 0 {
		return
	}
	go func() {
		for _, dir := range dirs {
			o.awaitRoom()
			o.list(dir)
		}
	}()
}

// retry tells of the attributes of an inode that the kernel did not have yet.
func (o *orders) retry(node uint64) { o.later(order{node: node, wait: time.Millisecond}) }

func (o *orders) later(x order) { time.AfterFunc(x.wait, func() { o.put(x) }) }

func (o *orders) put(x order) {
	if o.add(x) {
		o.c.everything() // which gives orders itself
	}
}

// add queues an order. If there are too many it drops them all instead, and says so.
func (o *orders) add(x order) (dropped bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, x)
	if dropped = len(o.queue) > maxOrders; dropped {
		o.queue = nil
	}
	o.staff()
	return dropped
}

// staff sees to it that somebody is at work, or looks again soon.
//
// LOCKS_REQUIRED(o.mu)
func (o *orders) staff() {
	if len(o.queue) == 0 {
		return
	}
	stuck := time.Since(o.taken) > orderLate
	if o.workers < orderWorkers || stuck && o.workers < orderMost {
		o.workers++
		o.taken = time.Now()
		go o.work()
	}
	if !o.waiting {
		o.waiting = true
		time.AfterFunc(orderLate, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.waiting = false
			o.staff()
		})
	}
}

func (o *orders) work() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.workers--
			o.mu.Unlock()
			return
		}
		x := o.queue[0]
		if o.queue = o.queue[1:]; len(o.queue) == 0 {
			o.queue = nil
		}
		o.taken = time.Now()
		o.mu.Unlock()
		o.c.carry(x)
	}
}

// awaitRoom waits while there is much to do.
func (o *orders) awaitRoom() {
	for {
		o.mu.Lock()
		n := len(o.queue)
		o.mu.Unlock()
		if n < orderRoom {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// carry tells the kernel. What it answers does not matter but for attributes: a
// name that it does not know needs no telling.
func (c *coherence) carry(x order) {
	c.told.names.Add(1)
	switch {
	case x.sub != nil:
		c.again(x.dir, x.name, x.sub)
	case x.list:
		if c.fs.kept.recall(x.dir) {
			c.kernel.InvalList(x.dir.ID)
		}
	case x.name == "":
		if c.kernel.InvalAttr(x.node) != nil && c.fs.table.Holds(x.node) {
			x.wait = min(2*x.wait, retryMost)
			c.orders.later(x)
		}
	case x.expire:
		c.kernel.ExpireEntry(x.parent, x.name)
	case c.fs.table.Sub(x.dir, x.name) != nil:
		// A directory that was made and looked up since: somebody may be in it.
		c.kernel.ExpireEntry(x.parent, x.name)
	default:
		c.kernel.InvalEntry(x.parent, x.name)
	}
}
