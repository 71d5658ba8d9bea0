package daemon

import (
	"log/slog"
	"log/syslog"
	"strings"
)

// syslogSocket is where syslogd and journald listen.
const syslogSocket = "/dev/log"

// syslogSink writes to syslog. A logger that is not there costs the line; the
// next line tries again.
type syslogSink struct {
	socket, tag string
	conn        *syslog.Writer // nil while there is no logger
}

// NewSyslog returns the sink that sends lines to syslog under tag.
func NewSyslog(tag string) Sink { return &syslogSink{socket: syslogSocket, tag: tag} }

// SyslogListens reports whether a line to syslog would reach anybody now.
func SyslogListens() bool {
	s := syslogSink{socket: syslogSocket}
	defer s.close()
	return s.dial()
}

func (s *syslogSink) write(e entry) {
	if s.conn == nil && !s.dial() {
		return
	}
	for l := range strings.Lines(e.text) {
		if err := s.send(e.level, strings.TrimSuffix(l, "\n")); err != nil {
			s.close()
			return
		}
	}
}

// dial tries datagrams first, as syslogd and journald want, then a stream.
func (s *syslogSink) dial() bool {
	for _, network := range []string{"unixgram", "unix"} {
		conn, err := syslog.Dial(network, s.socket, syslog.LOG_DAEMON|syslog.LOG_INFO, s.tag)
		if err == nil {
			s.conn = conn
			return true
		}
	}
	return false
}

func (s *syslogSink) send(level slog.Level, line string) error {
	switch {
	case level >= slog.LevelError:
		return s.conn.Err(line)
	case level >= slog.LevelWarn:
		return s.conn.Warning(line)
	case level >= slog.LevelInfo:
		return s.conn.Info(line)
	}
	return s.conn.Debug(line)
}

func (s *syslogSink) reopen() {}

func (s *syslogSink) close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}
