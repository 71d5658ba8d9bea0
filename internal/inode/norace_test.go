//go:build !race

package inode

const raced = false
