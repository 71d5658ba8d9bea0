// Package mover decides which files move between the tiers of a mount, and
// copies them. It knows no FUSE: how a file changes its home under the eyes of
// those who use it is the filesystem's business (tierfs.FS.Move), and the
// mover reaches it through Tree.
//
// One job runs at a time: a scan by policy, or what an administrator asked for.
// A job walks a tier, not the mount, so it neither fills the kernel's caches nor
// renews access times.
package mover
