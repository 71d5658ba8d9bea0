package mover

import "time"

// Policy says what moves by itself. The zero value moves nothing.
type Policy struct {
	Demote    time.Duration // files of that age go one tier down; 0: none do
	Age       AgeKind
	High, Low int           // percent: with the primary fuller than High, its coldest files go down until it is at Low; 0: never
	Opens     int           // as many opens …
	Within    time.Duration // … within that time bring a file to the primary; 0: none does
	Window    Window        // when files may move by themselves
	Exclude   []string      // patterns of path.Match(3go): of the path if they have a slash in them, else of any name in it
	Ignore    []string      // commands (/proc/PID/comm) whose opens are no use of a file
	Rate      uint64        // bytes a second; 0: as fast as it goes
}

// AgeKind is what the age of a file counts from.
type AgeKind int

const (
	AgeNewest AgeKind = iota // the newer of access and modification
	AgeAtime
	AgeMtime
	AgeOpened // the last open through the mount, or the modification if that is newer
)

// Window is a time of the day, local, in minutes since midnight. From after To
// goes over midnight; equal ones are the whole day.
type Window struct{ From, To int }
