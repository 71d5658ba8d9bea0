// Package daemon holds what the life of a mount's process needs and what has
// nothing to do with FUSE: namespaces, descriptors, capabilities and limits,
// the word to the waiting helper, mountinfo, the log, and who keeps a mount
// busy.
//
// Much of it is bound to one thread or must happen before the Go program that
// serves has threads at all. Such functions say so; their callers lock the
// goroutine to its thread and execute the program anew from there.
package daemon
