package inode

import (
	"sync"
	"sync/atomic"
)

// Lock is a read-write lock of 12 bytes where sync.RWMutex has 24, since each
// inode has one and hardly any is ever contended. A writer that waits keeps new
// readers out.
type Lock struct {
	entry   sync.Mutex   // held by a writer, and by readers for a moment as they come
	readers atomic.Int32 // and leaving, while a writer waits for them
}

// leaving is more than there can be readers.
const leaving = 1 << 30

// exit is where writers wait until the last reader has left: all in one place,
// because there are few, and each looks at its own lock.
var exit = sync.NewCond(&sync.Mutex{})

// RLock locks for reading.
func (l *Lock) RLock() {
	l.entry.Lock()
	l.readers.Add(1)
	l.entry.Unlock()
}

// RUnlock undoes RLock.
func (l *Lock) RUnlock() {
	if l.readers.Add(-1) == leaving {
		exit.L.Lock()
		exit.Broadcast()
		exit.L.Unlock()
	}
}

// Lock locks for writing.
func (l *Lock) Lock() {
	l.entry.Lock()
	if l.readers.Add(leaving) != leaving {
		exit.L.Lock()
		for l.readers.Load() != leaving {
			exit.Wait()
		}
		exit.L.Unlock()
	}
	l.readers.Add(-leaving)
}

// Unlock undoes Lock.
func (l *Lock) Unlock() { l.entry.Unlock() }

// TryLock is Lock if nobody has the lock.
func (l *Lock) TryLock() bool {
	if !l.entry.TryLock() {
		return false
	}
	if l.readers.Load() == 0 { // no reader comes while entry is held
		return true
	}
	l.entry.Unlock()
	return false
}
