// Package control is how a running daemon is asked and told: HTTP and JSON on a
// unix socket that only root and the daemon's own user reach.
//
// The socket is named after the mount's device number, which mountinfo shows to
// everyone: whoever sees a mount finds its daemon, and never another one.
package control
