package mountopt

import (
	"strconv"
	"time"
)

// Create says where a new entry goes.
type Create int

const (
	CreateParent  Create = iota // the highest tier that has the parent directory
	CreatePrimary               // the primary, parents made there
)

func (c Create) String() string {
	switch c {
	case CreateParent:
		return "parent"
	case CreatePrimary:
		return "primary"
	}
	return "Create(" + strconv.Itoa(int(c)) + ")"
}

// Passthrough says whether the kernel reads and writes backing files itself.
type Passthrough int

const (
	PassthroughAuto Passthrough = iota // where the kernel and the tier can
	PassthroughOn                      // asked for by name
	PassthroughOff
)

func (p Passthrough) String() string {
	switch p {
	case PassthroughAuto:
		return "auto"
	case PassthroughOn:
		return "on"
	case PassthroughOff:
		return "off"
	}
	return "Passthrough(" + strconv.Itoa(int(p)) + ")"
}

// Cache says for how long the kernel believes names and attributes.
type Cache int

const (
	CacheAuto     Cache = iota // coherent where every tier can be watched, unless a timeout is 0
	CacheCoherent              // asked for by name
	CacheTimeout
)

// Age is what the age of a file counts from.
type Age int

const (
	AgeNewest Age = iota // the newer of access and modification
	AgeAtime
	AgeMtime
	AgeOpened // the last open through the mount, or the modification if that is newer
)

// Promote says which files come up: those with so many opens within that time.
type Promote struct {
	Opens  int
	Within time.Duration
}

// Window is a time of the day, in minutes since midnight; the zero value is
// all of it.
type Window struct{ From, To int }
