package mover

import (
	"strings"

	"github.com/tierfs/tierfs/internal/tier"
)

// pinName is the extended attribute by which users pin files and directories.
const pinName = "user.tierfs.pin"

// pin is what it says. The nearest counts: a file's own, else that of the
// nearest directory above that has one.
type pin int

const (
	pinUnset    pin = iota
	pinPrimary      // never goes down; comes up
	pinFallback     // goes down whatever its age; never comes up
	pinNone         // to no tier: stays wherever it is, unless somebody asks for it
)

// maxPin is longer than any word that means something.
const maxPin = 16

// pinOf is what name in d says for itself, else what it inherits. A word that
// means nothing is as good as none.
func pinOf(d *tier.Dir, name string, inherited pin) pin {
	var b [maxPin]byte
	n, err := d.Getxattr(name, pinName, b[:])
	if err != nil {
		return inherited
	}
	if p := parsePin(b[:n]); p != pinUnset {
		return p
	}
	return inherited
}

// parsePin reads a value. setfattr writes it bare, other tools with a zero byte
// or a newline behind.
func parsePin(value []byte) pin {
	switch strings.TrimRight(string(value), "\x00\n") {
	case "primary":
		return pinPrimary
	case "fallback":
		return pinFallback
	case "none":
		return pinNone
	}
	return pinUnset
}

func (p pin) String() string {
	return [...]string{"unset", "primary", "fallback", "none"}[p]
}
