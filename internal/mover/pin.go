package mover

import (
	"fmt"
	"strings"

	"github.com/tierfs/tierfs/internal/tier"
	"golang.org/x/sys/unix"
)

// PinName is the extended attribute by which users pin files and directories.
const PinName = "user.tierfs.pin"

// pin is what it says. The nearest counts: a file's own, else that of the
// nearest directory above that has one.
type pin int

const (
	pinUnset    pin = iota
	pinPrimary      // never goes down; comes up
	pinFallback     // goes down whatever its age; never comes up
	pinNone         // to no tier: stays wherever it is, unless somebody asks for it
	pinBad          // a word that means nothing: stays until somebody has put that right
)

// pinning is the pin of a file or directory.
type pinning struct {
	pin    pin
	badPin string // of pinBad: which word, and of which path
}

// maxPin is longer than any word that means something.
const maxPin = 64

// pinOf is what name in d, which is at a path in the mount, says for itself,
// else what it inherits.
func pinOf(d *tier.Dir, name, at string, inherited pinning) pinning {
	var b [maxPin]byte
	n, err := d.Getxattr(name, PinName, b[:])
	var value string
	switch err {
	case nil:
		if p := parsePin(b[:n]); p != pinBad {
			return pinning{pin: p}
		}
		value = fmt.Sprintf("%q", b[:n])
	case unix.ERANGE:
		value = "a long text"
	default:
		return inherited
	}
	return pinning{pinBad, fmt.Sprintf("%s of %q is %s; want primary, fallback or none", PinName, "/"+at, value)}
}

// IsPin reports whether the attribute may have that value.
func IsPin(value []byte) bool { return parsePin(value) != pinBad }

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
	return pinBad
}

func (p pin) String() string {
	return [...]string{"unset", "primary", "fallback", "none", "bad"}[p]
}
