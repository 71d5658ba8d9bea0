package main

import (
	"fmt"
	"html"
	"io"
	"math"
)

// The chart's measures, in pixels.
const (
	chartWidth = 1000
	labelWidth = 260
	valueWidth = 50
	barHeight  = 8
	rowGap     = 12
	headHeight = 76
)

// colours are the bars', in the order of the subjects after the plain directory.
var colours = map[string]string{
	tierfs: "#0b7a75", tierfs2: "#6fc2b4", mergerfs: "#c8452f", mergerfsF: "#ef9a6f",
	unionfs: "#7a5195", bindfs: "#8d99ae", overlay: "#e0b53c",
}

// chart draws the time of each subject as a multiple of the plain directory's,
// for the main rows. The scale is logarithmic, and a bar begins at 1.
type chart struct {
	w       io.Writer
	r       *results
	rows    []int
	others  []string
	low, up float64 // ends of the scale, powers of ten
}

func newChart(w io.Writer, r *results) *chart {
	c := &chart{w: w, r: r, low: -0.5, up: 0.5}
	for _, s := range r.subjects {
		if s.name != native {
			c.others = append(c.others, s.name)
		}
	}
	for i, row := range r.rows {
		if !row.chart || math.IsInf(r.best(i, native), 1) {
			continue
		}
		c.rows = append(c.rows, i)
		for _, name := range c.others {
			if v, ok := c.value(i, name); ok {
				c.low, c.up = min(c.low, v), max(c.up, v)
			}
		}
	}
	return c
}

// value is the power of ten of a subject's time as a multiple of the directory's.
func (c *chart) value(row int, name string) (float64, bool) {
	v := math.Log10(c.r.best(row, name) / c.r.best(row, native))
	return v, !math.IsInf(v, 0) && !math.IsNaN(v)
}

// x is where a power of ten lies.
func (c *chart) x(v float64) float64 {
	const space = chartWidth - labelWidth - valueWidth
	return labelWidth + space*(v-c.low)/(c.up-c.low)
}

func (c *chart) draw(m machine) {
	rowHeight := len(c.others)*barHeight + rowGap
	height := headHeight + len(c.rows)*rowHeight + 10
	fmt.Fprintf(c.w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, height, chartWidth, height)
	fmt.Fprintf(c.w, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	c.text(10, 20, "", 15, "Time as a multiple of the plain directory's: shorter is faster")
	c.text(10, 37, "", 10, fmt.Sprintf("Linux %s, %d x %s, %s; %s", m.Kernel, m.CPUs, m.CPU, m.Date[:10], m.Command))
	c.legend()
	c.axis(height - 10)
	for n, row := range c.rows {
		c.bars(row, headHeight+n*rowHeight)
	}
	fmt.Fprintln(c.w, "</svg>")
}

func (c *chart) text(x, y float64, anchor string, size int, text string) {
	if anchor != "" {
		anchor = ` text-anchor="` + anchor + `"`
	}
	fmt.Fprintf(c.w, `<text x="%.1f" y="%.1f" font-size="%d" fill="#222"%s>%s</text>`+"\n", x, y, size, anchor, html.EscapeString(text))
}

func (c *chart) rect(x, y, width, height float64, colour string) {
	fmt.Fprintf(c.w, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, width, height, colour)
}

func (c *chart) legend() {
	x := 10.0
	for _, name := range c.others {
		c.rect(x, 46, 10, 10, colours[name])
		c.text(x+14, 55, "", 12, name)
		x += 34 + 7*float64(len(name))
	}
}

// axis draws a line at 1, 2, 5, 10 and so on.
func (c *chart) axis(bottom int) {
	for exp := math.Floor(c.low); exp <= c.up; exp++ {
		for _, step := range []float64{1, 2, 5} {
			v := exp + math.Log10(step)
			if v < c.low || v > c.up {
				continue
			}
			colour := "#ddd"
			if v == 0 {
				colour = "#222"
			}
			c.rect(c.x(v)-0.5, headHeight-4, 1, float64(bottom-headHeight+4), colour)
			c.text(c.x(v), headHeight-8, "middle", 10, fmt.Sprintf("%gx", math.Round(math.Pow(10, v)*1000)/1000))
		}
	}
}

// bars draws the row that begins at y.
func (c *chart) bars(row, y int) {
	c.text(labelWidth-8, float64(y)+float64(len(c.others)*barHeight)/2+4, "end", 12, c.r.rows[row].name)
	for k, name := range c.others {
		v, ok := c.value(row, name)
		if !ok {
			continue
		}
		top, from, to := float64(y+k*barHeight), c.x(min(0, v)), c.x(max(0, v))
		c.rect(from, top, max(1, to-from), barHeight-1, colours[name])
		c.text(to+3, top+barHeight-1, "", 8, fmt.Sprintf("%.2f", math.Pow(10, v)))
	}
}
