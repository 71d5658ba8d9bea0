package mover

import (
	"container/list"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is remembered of opens.
const (
	maxCounted = 1 << 16 // files whose opens are counted; the longest unopened is forgotten
	maxHot     = 1 << 12 // files that wait to be brought to the primary
)

// fileKey names a file of a tier.
type fileKey struct {
	rank     int
	dev, ino uint64
}

// opens counts what is opened through the mount, for promote= and age=opened.
type opens struct {
	on     atomic.Bool // someone wants to know; else an open costs a load
	comm   func(pid uint32) string
	lasts  *lasts
	mu     sync.Mutex
	policy Policy                    // GUARDED_BY(mu)
	files  map[fileKey]*list.Element // GUARDED_BY(mu): of *counted
	order  *list.List                // GUARDED_BY(mu): the last opened first
	hot    map[string]hotFile        // GUARDED_BY(mu): what is to come up, by path
}

// hotFile is on a fallback, and is tried to be brought up for a while.
type hotFile struct {
	rank  int
	until time.Time
}

// counted is a file's last opens, as many as the policy asks for at most.
type counted struct {
	key   fileKey
	times []time.Time
}

func newOpens() *opens {
	return &opens{comm: commOf, lasts: newLasts(), files: map[fileKey]*list.Element{}, order: list.New(), hot: map[string]hotFile{}}
}

// setPolicy changes what is counted. Counts of another policy are dropped.
func (o *opens) setPolicy(p Policy) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.policy.Opens != p.Opens || o.policy.Within != p.Within {
		clear(o.files)
		o.order.Init()
		clear(o.hot)
	}
	o.policy = p
	o.on.Store(p.Opens > 0 || p.Age == AgeOpened)
}

// opened is told of every open of a file through the mount.
func (o *opens) opened(key fileKey, pid uint32, now time.Time, path func() string) {
	if !o.on.Load() {
		return
	}
	o.mu.Lock()
	p := o.policy
	o.mu.Unlock()
	if len(p.Ignore) > 0 && slices.Contains(p.Ignore, o.comm(pid)) {
		return
	}
	if p.Age == AgeOpened {
		o.lasts.set(key, now)
	}
	if p.Opens > 0 && o.count(key, now) && key.rank > 0 {
		o.heat(path(), hotFile{key.rank, now.Add(p.Within)})
	}
}

// count notes an open and reports whether the file has had enough of them. Of a
// file of the primary, which has nowhere to go, the last open alone is of interest, and
// of any file under a policy that has come since the open and counts none.
func (o *opens) count(key fileKey, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.files[key]
	if e == nil {
		e = o.order.PushFront(&counted{key: key})
		o.files[key] = e
		if o.order.Len() > maxCounted {
			delete(o.files, o.order.Remove(o.order.Back()).(*counted).key)
		}
	}
	o.order.MoveToFront(e)
	c := e.Value.(*counted)
	keep := max(o.policy.Opens, 1)
	if key.rank == 0 {
		keep = 1
	}
	if len(c.times) >= keep {
		c.times = slices.Delete(c.times, 0, len(c.times)-keep+1)
	}
	c.times = append(c.times, now)
	return o.policy.Opens > 0 && len(c.times) >= o.policy.Opens && now.Sub(c.times[0]) < o.policy.Within
}

// heat notes a file that is to come up.
func (o *opens) heat(path string, file hotFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.hot) < maxHot {
		o.hot[path] = file
	}
}

// takeHot hands over the files that are to come up.
func (o *opens) takeHot(now time.Time) map[string]hotFile {
	o.mu.Lock()
	defer o.mu.Unlock()
	hot := o.hot
	if len(hot) > 0 {
		o.hot = map[string]hotFile{}
	}
	maps.DeleteFunc(hot, func(_ string, f hotFile) bool { return !now.Before(f.until) })
	return hot
}

// last is when a file was opened last, zero if nobody knows.
func (o *opens) last(key fileKey) time.Time {
	if !o.on.Load() {
		return time.Time{}
	}
	at := o.lasts.get(key)
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.files[key]; e != nil {
		times := e.Value.(*counted).times
		at = later(at, times[len(times)-1])
	}
	return at
}

// arrived notes that a file has come up by its opens: they are what keeps it
// there for the time of the policy.
func (o *opens) arrived(key fileKey, now time.Time) {
	o.count(key, now)
	o.lasts.set(key, now)
}

// commOf is the name of a command, as ps -o comm shows it. A process of another
// PID namespace, or one that has gone, has none.
func commOf(pid uint32) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name), "\n")
}
