package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// exposition is a strict reader of OpenMetrics text 1.0: what it takes, any
// scraper does.
type exposition struct {
	kinds   map[string]string // by family
	samples map[string]float64
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

func parseMetrics(text string) (*exposition, error) {
	e := &exposition{map[string]string{}, map[string]float64{}}
	body, ok := strings.CutSuffix(text, "# EOF\n")
	if !ok {
		return nil, errors.New("does not end with # EOF")
	}
	family := ""
	seen := map[string]bool{} // of the family: TYPE, UNIT, HELP, sample
	for line := range strings.Lines(body) {
		line, ok := strings.CutSuffix(line, "\n")
		if !ok || line == "" {
			return nil, fmt.Errorf("%q: not a line", line)
		}
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			word := strings.SplitN(rest, " ", 3)
			if len(word) != 3 || !metricName.MatchString(word[1]) {
				return nil, fmt.Errorf("%q: bad descriptor", line)
			}
			if word[0] == "TYPE" {
				if _, twice := e.kinds[word[1]]; twice {
					return nil, fmt.Errorf("%q: family twice", line)
				}
				if !slices.Contains([]string{"counter", "gauge", "info"}, word[2]) {
					return nil, fmt.Errorf("%q: unknown type", line)
				}
				family, e.kinds[word[1]] = word[1], word[2]
				clear(seen)
			}
			switch {
			case word[1] != family:
				return nil, fmt.Errorf("%q: descriptor of another family than %q", line, family)
			case !slices.Contains([]string{"TYPE", "UNIT", "HELP"}, word[0]), seen[word[0]], seen["sample"]:
				return nil, fmt.Errorf("%q: out of place", line)
			case word[0] == "UNIT" && !strings.HasSuffix(family, "_"+word[2]):
				return nil, fmt.Errorf("%q: the name does not end with its unit", line)
			}
			seen[word[0]] = true
			continue
		}
		seen["sample"] = true
		if err := e.sample(line, family); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return e, nil
}

func (e *exposition) sample(line, family string) error {
	end := strings.IndexAny(line, "{ ")
	if end < 0 {
		return errors.New("no value")
	}
	name, rest := line[:end], line[end:]
	suffix := map[string]string{"counter": "_total", "gauge": "", "info": "_info"}[e.kinds[family]]
	if name != family+suffix {
		return fmt.Errorf("not a sample of the %s %s", e.kinds[family], family)
	}
	labels := ""
	if rest[0] == '{' {
		n, err := scanLabels(rest)
		if err != nil {
			return err
		}
		labels, rest = rest[:n], rest[n:]
	}
	text, ok := strings.CutPrefix(rest, " ")
	v, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || v < 0 {
		return fmt.Errorf("bad value %q", rest)
	}
	if _, twice := e.samples[name+labels]; twice {
		return errors.New("twice")
	}
	e.samples[name+labels] = v
	return nil
}

// scanLabels is the length of the label set that text begins with.
func scanLabels(text string) (int, error) {
	i, names := 1, map[string]bool{}
	for {
		eq := strings.Index(text[i:], `="`)
		if eq < 0 || !labelName.MatchString(text[i:i+eq]) || names[text[i:i+eq]] {
			return 0, errors.New("bad label")
		}
		names[text[i:i+eq]] = true
		for i += eq + 2; ; i++ {
			if i >= len(text) {
				return 0, errors.New("label value without end")
			}
			if text[i] == '"' {
				break
			}
			if text[i] == '\\' {
				if i++; i >= len(text) || !strings.ContainsRune(`\"n`, rune(text[i])) {
					return 0, errors.New("bad escape")
				}
			}
		}
		if i++; i < len(text) && text[i] == '}' {
			return i + 1, nil
		}
		if i >= len(text) || text[i] != ',' {
			return 0, errors.New("bad label set")
		}
		i++
	}
}

func TestParserOfTheTestIsStrict(t *testing.T) {
	for _, bad := range []string{
		"", "# EOF", "a 1\n# EOF\n", "# TYPE a gauge\na 1\n", "# TYPE a gauge\n\n# EOF\n",
		"# TYPE a counter\na 1\n# EOF\n", "# TYPE a gauge\na{x=\"\\t\"} 1\n# EOF\n",
		"# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n# EOF\n", "# TYPE a gauge\na 1\na 2\n# EOF\n",
		"# TYPE a gauge\na x\n# EOF\n", "# TYPE a gauge\n# UNIT a bytes\n# EOF\n",
		"# TYPE a gauge\n# TYPE a gauge\n# EOF\n", "# TYPE a gauge\na 1\n# HELP a b\n# EOF\n",
		"# TYPE a gauge\na{x=\"1} 1\n# EOF\n",
	} {
		if _, err := parseMetrics(bad); err == nil {
			t.Errorf("takes %q", bad)
		}
	}
}

func TestMetricsAreOpenMetrics(t *testing.T) {
	began := time.Unix(1000, 0)
	d := &stub{status: Status{
		Version: "1", Source: "/srv/f\"a\\s\nt", MountPoint: "/srv/\xff", Since: began,
		Ops: map[string]uint64{"READ": 3, "LOOKUP": 1 << 40}, Errors: map[string]uint64{"EIO": 2}, Inodes: 5, Handles: 6, Replays: 7,
		Tiers: []Tier{{Path: "/srv/fast", Size: 100, Free: 10}, {Rank: 1, Path: "/srv/slow", Away: true, ReadOnly: true}},
		Mover: &Mover{
			Sum: Tally{FilesDown: 8, BytesDown: 9, FilesUp: 10, BytesUp: 11, Skipped: map[string]int{"open": 12}}, FailingSince: began,
			Last: &Run{Begin: began, End: began.Add(time.Minute), Tally: Tally{FilesDown: 13, BytesUp: 14}},
		},
	}}
	path, _ := serve(t, d)
	resp, err := httpTo(path).Get("http://x/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/openmetrics-text; version=1.0.0; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseMetrics(string(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for name, want := range map[string]float64{
		`tierfs_info{version="1",mount_point="/srv/` + "\ufffd" + `",source="/srv/f\"a\\s\nt"}`: 1,
		`tierfs_ops_total{op="READ"}`: 3, `tierfs_ops_total{op="LOOKUP"}`: 1 << 40, `tierfs_op_errors_total{errno="EIO"}`: 2,
		`tierfs_inodes`: 5, `tierfs_handles`: 6, `tierfs_journal_replays_total`: 7, `tierfs_start_time_seconds`: 1000,
		`tierfs_tier_size_bytes{rank="0",path="/srv/fast"}`: 100, `tierfs_tier_free_bytes{rank="0",path="/srv/fast"}`: 10,
		`tierfs_tier_away{rank="0",path="/srv/fast"}`: 0, `tierfs_tier_away{rank="1",path="/srv/slow"}`: 1,
		`tierfs_tier_read_only{rank="1",path="/srv/slow"}`: 1,
		`tierfs_moved_files_total{direction="down"}`:       8, `tierfs_moved_bytes_total{direction="down"}`: 9,
		`tierfs_moved_files_total{direction="up"}`: 10, `tierfs_moved_bytes_total{direction="up"}`: 11,
		`tierfs_skipped_files_total{reason="open"}`: 12, `tierfs_moving`: 0, `tierfs_moving_fails`: 1,
		`tierfs_last_run_end_time_seconds`: 1060, `tierfs_last_run_duration_seconds`: 60,
		`tierfs_last_run_files`: 13, `tierfs_last_run_bytes`: 14,
	} {
		name = strings.ReplaceAll(name, "\n", `\n`)
		if got, ok := m.samples[name]; !ok || got != want {
			t.Errorf("%s: %v, %v, want %v\n%s", name, got, ok, want, text)
		}
	}
}

// A mount without a mover, and one that has never run, have metrics too.
func TestMetricsOfAnEmptyStatus(t *testing.T) {
	for _, st := range []Status{{Since: time.Now()}, {Since: time.Now(), Mover: &Mover{}}} {
		var b strings.Builder
		if err := writeMetrics(&b, st); err != nil {
			t.Fatal(err)
		}
		if _, err := parseMetrics(b.String()); err != nil {
			t.Errorf("%v\n%s", err, b.String())
		}
	}
}

// httpTo is a plain client, as a scraper or curl is.
func httpTo(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}
