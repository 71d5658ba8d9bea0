package control

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// metricsType is what GET /metrics answers with.
const metricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// family is one metric of the OpenMetrics text format with its samples.
type family struct {
	name, kind, unit, help string
	samples                []sample
}

type sample struct {
	labels []string // name, value, name, value …
	value  float64
}

// writeMetrics writes a status in the OpenMetrics text format 1.0.
func writeMetrics(w io.Writer, st Status) error {
	var b strings.Builder
	for _, f := range append(served(st), slices.Concat(space(st.Tiers), moved(st.Mover))...) {
		f.write(&b)
	}
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (f family) write(b *strings.Builder) {
	fmt.Fprintf(b, "# TYPE %s %s\n", f.name, f.kind)
	if f.unit != "" {
		fmt.Fprintf(b, "# UNIT %s %s\n", f.name, f.unit)
	}
	fmt.Fprintf(b, "# HELP %s %s\n", f.name, f.help)
	name := f.name
	switch f.kind {
	case "counter":
		name += "_total"
	case "info":
		name += "_info"
	}
	for _, s := range f.samples {
		fmt.Fprintf(b, "%s%s %s\n", name, labelled(s.labels), strconv.FormatFloat(s.value, 'g', -1, 64))
	}
}

func labelled(labels []string) string {
	var parts []string
	for pair := range slices.Chunk(labels, 2) {
		parts = append(parts, pair[0]+`="`+escapes.Replace(strings.ToValidUTF8(pair[1], "\ufffd"))+`"`)
	}
	if parts == nil {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// escapes are those of a label value. Other control characters may stand.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func counter(name, unit, help string, samples ...sample) family {
	return family{name, "counter", unit, help, samples}
}

func gauge(name, unit, help string, samples ...sample) family {
	return family{name, "gauge", unit, help, samples}
}

func number[N int | int64 | uint64 | float64](v N, labels ...string) sample {
	return sample{labels, float64(v)}
}

// byWord makes a sample of each number, in the order of the words.
func byWord[N int | uint64](label string, counts map[string]N) (all []sample) {
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, number(counts[word], label, word))
	}
	return all
}

// served is what the daemon has done for its clients.
func served(st Status) []family {
	return []family{
		{"tierfs", "info", "", "The mount.", []sample{number(1, "version", st.Version, "mount_point", st.MountPoint, "source", st.Source)}},
		gauge("tierfs_start_time_seconds", "seconds", "When the daemon began.", number(float64(st.Since.UnixMilli())/1e3)),
		counter("tierfs_ops", "", "Operations served by the daemon.", byWord("op", st.Ops)...),
		counter("tierfs_op_errors", "", "Operations answered with an error; ENOENT is mostly no fault.", byWord("errno", st.Errors)...),
		gauge("tierfs_inodes", "", "Files and directories that the kernel knows.", number(st.Inodes)),
		gauge("tierfs_handles", "", "Open files, and directories if caching was not coherent when the first was opened.", number(st.Handles)),
		counter("tierfs_journal_replays", "", "Interrupted operations that were finished.", number(st.Replays)),
	}
}

// space is what the tiers have left.
func space(tiers []Tier) []family {
	size := gauge("tierfs_tier_size_bytes", "bytes", "Size of the tier's filesystem.")
	free := gauge("tierfs_tier_free_bytes", "bytes", "Free for ordinary users.")
	away := gauge("tierfs_tier_away", "", "1 if the tier does not answer.")
	failed := counter("tierfs_tier_errors", "", "Calls that the tier's disk has failed.")
	readOnly := gauge("tierfs_tier_read_only", "", "1 if the tier cannot be written to.")
	for _, t := range tiers {
		labels := []string{"rank", strconv.Itoa(t.Rank), "path", t.Path}
		size.samples = append(size.samples, number(t.Size, labels...))
		free.samples = append(free.samples, number(t.Free, labels...))
		away.samples = append(away.samples, number(bit(t.Away), labels...))
		failed.samples = append(failed.samples, number(t.Errors, labels...))
		readOnly.samples = append(readOnly.samples, number(bit(t.ReadOnly), labels...))
	}
	return []family{size, free, away, failed, readOnly}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// moved is what the mover has done.
func moved(m *Mover) []family {
	if m == nil {
		return nil
	}
	all := []family{
		counter("tierfs_moved_files", "", "Files moved between tiers.",
			number(m.Sum.FilesDown, "direction", "down"), number(m.Sum.FilesUp, "direction", "up")),
		counter("tierfs_moved_bytes", "bytes", "Bytes moved between tiers.",
			number(m.Sum.BytesDown, "direction", "down"), number(m.Sum.BytesUp, "direction", "up")),
		counter("tierfs_skipped_files", "", "Files that were to move and were left where they are.", byWord("reason", m.Sum.Skipped)...),
		gauge("tierfs_moving", "", "1 while a job runs.", number(bit(m.Running != nil))),
		gauge("tierfs_moving_fails", "", "1 if nothing moves any more although files are to.", number(bit(!m.FailingSince.IsZero()))),
	}
	if r := m.Last; r != nil {
		all = append(all,
			gauge("tierfs_last_run_end_time_seconds", "seconds", "When the last job ended.", number(float64(r.End.UnixMilli())/1e3)),
			gauge("tierfs_last_run_duration_seconds", "seconds", "How long it took.", number(r.End.Sub(r.Begin).Seconds())),
			gauge("tierfs_last_run_files", "", "Files that it moved.", number(r.FilesDown+r.FilesUp)),
			gauge("tierfs_last_run_bytes", "bytes", "Bytes that it moved.", number(r.BytesDown+r.BytesUp)))
	}
	return all
}
