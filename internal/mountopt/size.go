package mountopt

import (
	"math"
	"strconv"
	"strings"
)

// MinFree is the room that a tier keeps: one with less is passed over when
// something is created. It is a share of the tier, a number of bytes, or a
// share with an upper bound.
type MinFree struct {
	Percent float64 // 0: Bytes alone counts
	Bytes   uint64  // with a Percent: the upper bound, 0 for none
}

// Of returns the bytes to keep free in a tier of total bytes.
func (m MinFree) Of(total uint64) uint64 {
	if m.Percent == 0 {
		return m.Bytes
	}
	keep := uint64(float64(total) / 100 * m.Percent)
	if m.Bytes != 0 && keep > m.Bytes {
		return m.Bytes
	}
	return keep
}

// String returns m as minfree= takes it.
func (m MinFree) String() string {
	if m.Percent == 0 {
		return formatSize(m.Bytes)
	}
	percent := strconv.FormatFloat(m.Percent, 'f', -1, 64) + "%"
	if m.Bytes == 0 {
		return percent
	}
	return percent + ":" + formatSize(m.Bytes)
}

// parseMinFree reads 5%, 2G or 5%:2G.
func parseMinFree(s string) (MinFree, bool) {
	share, bound, bounded := strings.Cut(s, ":")
	number, isPercent := strings.CutSuffix(share, "%")
	if !isPercent {
		n, ok := parseSize(s)
		return MinFree{Bytes: n}, ok
	}
	percent, err := strconv.ParseFloat(number, 64)
	// Of 100 % every tier would be passed over.
	if err != nil || !isDecimal(number) || percent >= 100 {
		return MinFree{}, false
	}
	m := MinFree{Percent: percent}
	if bounded {
		n, ok := parseSize(bound)
		if !ok || n == 0 {
			return MinFree{}, false
		}
		m.Bytes = n
	}
	if percent == 0 {
		return MinFree{}, true
	}
	return m, true
}

// units are powers of 1024, as administrators know them from df -h and du -h.
const units = "KMGT"

// parseSize reads a number of bytes, perhaps with a unit, up to 2^63-1: file
// systems count in signed 64 bits.
func parseSize(s string) (uint64, bool) {
	shift := 0
	if s != "" {
		if i := strings.IndexByte(units, s[len(s)-1]&^0x20); i >= 0 {
			shift = 10 * (i + 1)
			s = s[:len(s)-1]
		}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

// formatSize writes n with the largest unit that keeps it whole.
func formatSize(n uint64) string {
	for i := len(units) - 1; i >= 0 && n > 0; i-- {
		if shift := 10 * (i + 1); n&(1<<shift-1) == 0 {
			return strconv.FormatUint(n>>shift, 10) + units[i:i+1]
		}
	}
	return strconv.FormatUint(n, 10)
}

// isDecimal reports whether s is digits with at most one point between them: no
// sign, no exponent, neither inf nor nan, all of which strconv takes.
func isDecimal(s string) bool {
	whole, fraction, hasPoint := strings.Cut(s, ".")
	return isDigits(whole) && (!hasPoint || isDigits(fraction))
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
