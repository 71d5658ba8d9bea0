package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/tier"
)

// rival is another daemon that has the locks of our tiers, as it is to be seen now.
type rival struct {
	tier.Holder
	gone  bool // lazily unmounted, as far as can be seen
	ends  bool // about to end, nobody holds it
	where string
}

// meet looks where the mount of h is, and for who holds it if that is nowhere. The
// number of a mount that has ended may be another filesystem's by now, whose users are
// none of ours.
func meet(h tier.Holder) rival {
	r := rival{Holder: h, where: "mounted on " + daemon.PrintableName(h.At)}
	link := daemon.LinkOf(h.Conn)
	if h.PID == 0 || !link.Numbered {
		return r
	}
	state := link.State(h.PID, fstype)
	if state == daemon.Ending || state == daemon.Detached && link.Whole {
		r.ends, r.where = true, "about to end"
		return r
	}
	if p, ok := link.Place(h.PID, fstype); ok {
		r.where = "mounted on " + daemon.PrintableName(p.Dir)
		if p.Foreign {
			r.where += " in its own mount namespace"
		}
		return r
	}
	if state == daemon.Unknown && !link.Kept {
		r.where += " on another machine, unless it has just ended"
		return r
	}
	r.gone, r.where = true, "lazily unmounted from "+daemon.PrintableName(h.At)
	if who := holdersOf(link.Minor); who != "" {
		r.where += ", held by " + who
	}
	return r
}

// holdersOf names the processes that hold the mount of a minor device number.
func holdersOf(minor uint32) string {
	ctx, cancel := context.WithTimeout(context.Background(), searchTime)
	defer cancel()
	return strings.Join(holderNames(daemon.HoldersOf(ctx, fstype, minor)), ", ")
}

func holderNames(holders []daemon.Holder) (all []string) {
	for _, h := range holders {
		all = append(all, h.String())
	}
	return all
}

// String is what a message says of it after naming the tiers: nothing, if it is not
// known.
func (r rival) String() string {
	if r.PID == 0 {
		return ""
	}
	return fmt.Sprintf(" (daemon %d, %s)", r.PID, r.where)
}

// toEnd is what ends it.
func (r rival) toEnd() string {
	switch {
	case r.ends:
		return "wait for its end"
	case r.gone:
		return "end what holds it"
	}
	return "unmount that one"
}

// beside is said of a mount that is made beside it.
func (r rival) beside() string {
	if r.gone || r.ends {
		return fmt.Sprintf("another tierfs serves these tiers%s: no files move until it has ended; %s", r, r.toEnd())
	}
	return fmt.Sprintf("another tierfs serves these tiers%s: it moves files, this one does not; unmount the one that is not meant", r)
}

// lockedOut is why nothing moves: another daemon has the tiers' locks. Who that is,
// and where, is looked up when it is told.
type lockedOut struct{ g *graph }

func (e lockedOut) Error() string {
	holder, _ := e.g.owner()
	r := meet(holder)
	if r.gone || r.ends {
		return fmt.Sprintf("another daemon has the locks of these tiers%s; files move when it has ended: %s", r, r.toEnd())
	}
	return fmt.Sprintf("another daemon has the locks of these tiers%s; it moves files, or this one when it ends", r)
}
