package mover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierfs/tierfs/internal/human"
)

// job is one run of the mover.
type job struct {
	m      *Mover
	policy Policy // in force when it began
	quiet  time.Duration
	dry    bool // tell only

	planned map[uint64]load            // what is on its way to filesystems, or would be, by device
	made    map[place]bool             // directories that a plan makes
	largest map[int]int64              // size of a file that a plan knows a tier to hold, by rank
	fits    map[string]AttributesError // what a plan has tried, see fit; nil if it need not be as exact
	holders func() Holders             // of a plan: what was open when it was first asked

	emit    func(Event)       // told of each file; may be nil
	copying func(bytes int64) // told of what is copied of the others; may be nil

	mu      sync.Mutex
	r       Report // GUARDED_BY(mu)
	trouble error  // the first that files were left for; GUARDED_BY(mu)
}

func (m *Mover) newJob(kind string, quiet time.Duration, emit func(Event)) *job {
	return &job{m: m, policy: m.currentPolicy(), quiet: quiet, emit: emit, planned: map[uint64]load{}, made: map[place]bool{}, largest: map[int]int64{}, r: Report{Kind: kind, Begin: time.Now()}}
}

// newPlan is a job that tells what one would do.
func (m *Mover) newPlan(kind string, emit func(Event)) *job { return m.newJob(kind, 0, emit).trial() }

// trial has a job that has not begun tell only.
func (j *job) trial() *job {
	j.dry, j.fits = true, map[string]AttributesError{}
	j.looks(0)
	return j
}

// looks has a plan go by what was open no longer ago than the age.
func (j *job) looks(age time.Duration) {
	j.holders = sync.OnceValue(func() Holders { return j.m.look(age) })
}

// report is what it has done so far.
func (j *job) report() Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.r
	r.Tally, r.Full = r.Tally.clone(), slices.Clone(r.Full)
	return r
}

// finish says what the job has done, once.
func (j *job) finish(err error) Report {
	why := ""
	if err != nil {
		why = err.Error() // without the lock: see Permit
	}
	j.mu.Lock()
	j.r.End, j.r.Error = time.Now(), why
	trouble := j.trouble
	j.mu.Unlock()
	r := j.report()
	if r.FilesDown+r.FilesUp > 0 {
		j.m.log.Info("files have moved", "job", r.Kind, "files_down", r.FilesDown, "bytes_down", human.Bytes(r.BytesDown),
			"files_up", r.FilesUp, "bytes_up", human.Bytes(r.BytesUp), "took", human.About(r.End.Sub(r.Begin)))
	}
	j.m.warnFull(r)
	if trouble != nil && j.m.isNews(trouble.Error(), r.End) {
		j.m.log.Warn("some files could not be moved; they stay where they are and are tried again", "job", r.Kind, "files", r.Skipped[Failed], "err", trouble)
	}
	return r
}

// newsEvery is how often the same trouble is told.
const newsEvery = time.Hour

// isNews reports whether trouble has not been told lately: scans may come every
// second, and what one runs into the next does too.
func (m *Mover) isNews(trouble string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.told, func(_ string, at time.Time) bool { return now.Sub(at) >= newsEvery })
	if _, told := m.told[trouble]; told {
		return false
	}
	m.told[trouble] = now
	return true
}

// totals are what the job has done, or would.
func (j *job) totals() Totals {
	r := j.report()
	return Totals{Files: r.FilesDown + r.FilesUp, Bytes: r.BytesDown + r.BytesUp, Skipped: r.Skipped, Full: r.Full}
}

// blame notes why something was passed over.
func (j *job) blame(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trouble == nil {
		j.trouble = err
	}
}

// settle notes what has become of a file.
func (j *job) settle(f *found, to int, o Outcome) {
	full := j.figures(to, &o)
	j.mu.Lock()
	if o.Skip == Moved {
		j.r.moved(f.rank, to, o.Bytes)
	} else {
		j.r.skip(o.Skip, 1)
	}
	if full != nil {
		j.count(full, o.Bytes)
	}
	j.mu.Unlock()
	if o.Skip == Failed {
		j.blame(fmt.Errorf("%q: %w", f.path(), o.Err))
	}
	if j.emit != nil {
		j.emit(Event{Path: f.path(), From: f.rank, To: to, Bytes: o.Bytes, Skip: o.Skip, Err: o.Err})
	}
	if ctx := context.Background(); !j.dry && !o.Skip.chosen() && j.m.log.Enabled(ctx, slog.LevelDebug) {
		log := j.m.log.With("path", f.path(), "from", f.rank, "to", to, "bytes", human.Bytes(o.Bytes))
		if o.Err != nil {
			log = log.With("err", o.Err)
		}
		log.Debug("file: " + o.Skip.Text())
	}
}

// haul judges what a walk finds, and moves it in batches of one directory.
type haul struct {
	*job
	ctx    context.Context
	judge  judge
	silent bool         // do not count what stays
	left   func() int64 // bytes that are to leave yet, the walk ends with none; may be nil
	gone   int64        // bytes that have left, or would have

	batch   []*found
	bytes   int64 // that leave with the batch
	course  course
	flights []*flight // batches under way, the oldest first
}

// errEnough ends a walk that has done what it was for.
var errEnough = errors.New("enough")

// over goes through what lies at path in the tiers of these ranks, one after
// the other, and reports whether any has it.
func (h *haul) over(path string, prune bool, ranks ...int) (seen bool, err error) {
	defer func() {
		h.landAll()
		if err == nil {
			err = context.Cause(h.ctx) // it may have ended over the last batch
		}
	}()
	tiers := h.m.tree.Tiers()
	for _, rank := range ranks {
		w := walk{tier: tiers[rank], exclude: h.policy.Exclude, prune: prune, to: h}
		err := w.run(h.ctx, path)
		switch {
		case err == errEnough:
			return true, nil
		case isAbsent(err):
			continue
		case context.Cause(h.ctx) != nil:
			return seen, context.Cause(h.ctx)
		case err != nil && tiers[rank].Away():
			return seen, fmt.Errorf("tier %s: does not answer; check its disk or server", tiers[rank].Root)
		case err != nil:
			return seen, fmt.Errorf("tier %s: %w", tiers[rank].Root, err)
		}
		seen = true
		if w.missed != nil {
			h.blame(fmt.Errorf("tier %s: a directory was passed over: %w", tiers[rank].Root, w.missed))
		}
	}
	return seen, nil
}

func (h *haul) file(f *found) error {
	c, why := h.judge(h.m.factsOf(f))
	switch {
	case why != Moved && h.silent:
		return nil
	case why != Moved:
		h.settle(f, f.rank, Outcome{Bytes: f.st.Size, Skip: why, Err: f.more(why)})
		return nil
	}
	if c != h.course {
		if err := h.endDir(); err != nil {
			return err
		}
	}
	h.course = c
	h.batch = append(h.batch, f)
	h.bytes += f.st.Blocks * BlockSize
	if len(h.batch) == MaxBatch || h.reached() {
		return h.endDir()
	}
	return nil
}

// endDir moves the batch.
func (h *haul) endDir() error {
	batch := h.batch
	h.batch, h.bytes = nil, 0
	if len(batch) == 0 {
		return nil
	}
	h.carry(batch)
	if err := context.Cause(h.ctx); err != nil {
		return err
	}
	if h.reached() {
		h.landAll() // some may have stayed
		if h.left() == 0 {
			return errEnough
		}
	}
	return nil
}

// reached reports whether all that is to leave is in the batch or under way.
func (h *haul) reached() bool {
	if h.left == nil {
		return false
	}
	bytes := h.bytes
	for _, f := range h.flights {
		bytes += f.bytes
	}
	return bytes >= h.left()
}

// carry moves the files of one batch, each to the nearest tier that has room for it.
func (h *haul) carry(files []*found) {
	for len(files) > 0 {
		b := h.target(files, h.course)
		switch {
		case b.why != Moved:
			h.leave(files, b)
			return
		case h.dry:
			h.plan(b)
		default:
			h.move(b)
		}
		files = b.rest
	}
}

// leave notes that files stay.
func (h *haul) leave(files []*found, b berth) {
	for _, f := range files {
		o := Outcome{Bytes: f.st.Size, Skip: b.why}
		if b.full != nil {
			o.Err = b.full
		}
		h.settle(f, b.to, o)
	}
}

// BlockSize is the unit of st_blocks (stat(2)).
const BlockSize = 512

// flight is a batch under way.
type flight struct {
	files  []*found
	to     int
	bytes  int64          // that leave, at most
	load   load           // what it takes of the target, at most
	copied atomic.Int64   // bytes
	out    chan []Outcome // of the next files, closed after the last
}

// How many batches are under way at a time: while the disks sync the one, the
// other is copied. A light one is synced for longer than it is copied, so there
// are more of them: six take 0.93 of the time of three, eight 0.90. More of others
// would only make a disk seek.
const (
	maxFlights = 2
	maxLight   = 6
	light      = 8 << 20 // bytes, of less than which a batch is light
)

func flightsWith(files []*found) int {
	var bytes int64
	for _, f := range files {
		bytes += f.st.Size
	}
	if bytes < light {
		return maxLight
	}
	return maxFlights
}

// move sends a batch off. Those of one directory follow each other, since each
// keeps the times of the directory.
func (h *haul) move(to berth) {
	files := to.files
	for len(h.flights) >= flightsWith(files) || h.flying(files[0].dir) {
		h.land()
	}
	f := &flight{files: files, to: to.to, load: to.load.plus(aRecord), out: make(chan []Outcome, len(files))}
	b := &Batch{Dir: files[0].dir, From: files[0].rank, To: to.to, Quiet: h.quiet, Pace: h.m.pace.Counting(&f.copied), MinFree: h.m.minFree}
	for _, file := range files {
		b.Names = append(b.Names, file.name)
		f.bytes += file.st.Blocks * BlockSize
	}
	h.flights = append(h.flights, f)
	h.planFor(f.to, f.load)
	go func() {
		defer close(f.out)
		h.m.tree.Move(h.ctx, b, f.landed)
	}()
}

// landed takes what became of the next files; it never waits for who is told.
func (f *flight) landed(out []Outcome) {
	f.copied.Store(0)
	f.out <- out
}

func (h *haul) flying(dir string) bool {
	return slices.ContainsFunc(h.flights, func(f *flight) bool { return f.files[0].dir == dir })
}

// land waits for the oldest batch.
func (h *haul) land() {
	f := h.flights[0]
	files := f.files
	for out := h.await(f); out != nil; out = h.await(f) {
		for i, o := range out {
			h.settle(files[i], f.to, o)
			if o.Skip == Moved {
				h.gone += files[i].st.Blocks * BlockSize
			}
		}
		files = files[len(out):]
	}
	h.flights = h.flights[1:]
	h.planFor(f.to, load{}.minus(f.load))
}

// planFor notes what is on its way to a tier, or would be.
func (j *job) planFor(rank int, l load) {
	dev := j.m.tree.Tiers()[rank].Dev()
	j.planned[dev] = j.planned[dev].plus(l)
}

// copyingEvery is how often it is told what is copied.
const copyingEvery = 200 * time.Millisecond

// await waits for what became of the next files of a batch, nil if all have
// landed. Meanwhile it tells of the copies, from
// here, so that whoever is told and is slow holds up no copy.
func (h *haul) await(f *flight) []Outcome {
	if h.copying == nil {
		return <-f.out
	}
	tick := time.NewTicker(copyingEvery)
	defer tick.Stop()
	for {
		select {
		case out := <-f.out:
			return out
		case <-tick.C:
			var bytes int64
			for _, f := range h.flights {
				bytes += f.copied.Load()
			}
			if bytes > 0 {
				h.copying(bytes)
			}
		}
	}
}

// landAt waits for the batches that go to a filesystem or come from it, and reports
// whether there are any.
func (h *haul) landAt(dev uint64) (any bool) {
	tiers := h.m.tree.Tiers()
	at := func(f *flight) bool { return tiers[f.to].Dev() == dev || tiers[f.files[0].rank].Dev() == dev }
	for slices.ContainsFunc(h.flights, at) {
		h.land()
		any = true
	}
	return any
}

func (h *haul) landAll() {
	for len(h.flights) > 0 {
		h.land()
	}
}
