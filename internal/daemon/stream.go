package daemon

import (
	"fmt"
	"os"
	"strings"
)

// streamSink writes to standard error, for a daemon in the foreground.
type streamSink struct {
	file   *os.File
	prefix string
}

// NewStream returns the sink that writes lines to f, each behind prefix.
func NewStream(f *os.File, prefix string) Sink { return streamSink{f, prefix} }

func (s streamSink) write(e entry) {
	fmt.Fprintf(s.file, "%s%s\n", s.prefix, strings.ReplaceAll(e.text, "\n", "\n"+s.prefix))
}

func (streamSink) reopen() {}

func (streamSink) close() {}
