package mountopt

import "strconv"

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
