//go:build race

package inode

// raced tells that the race detector is on, which makes everything slow.
const raced = true
