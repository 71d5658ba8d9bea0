package harness

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
)

// syslog is what daemons sent to /dev/log of the namespace.
var syslog struct {
	mu    sync.Mutex
	lines []string // GUARDED_BY(mu)
}

// listenLog takes the place of the system's logger.
func listenLog() error {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/dev/log", Net: "unixgram"})
	if err != nil {
		return err
	}
	if err := os.Chmod("/dev/log", 0o666); err != nil {
		return err
	}
	go collectLog(conn) // ends with the process
	return nil
}

func collectLog(conn *net.UnixConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		syslog.mu.Lock()
		syslog.lines = append(syslog.lines, strings.TrimRight(string(buf[:n]), "\n\x00"))
		syslog.mu.Unlock()
	}
}

// Syslog is what reached syslog from the daemon with the given PID.
func Syslog(pid int) string {
	syslog.mu.Lock()
	defer syslog.mu.Unlock()
	var text strings.Builder
	tag := fmt.Sprintf("[%d]", pid)
	for _, line := range syslog.lines {
		if strings.Contains(line, tag) {
			text.WriteString(line + "\n")
		}
	}
	return text.String()
}

// Log is what the mount's daemons sent to syslog.
func (m *Mount) Log() string {
	var text strings.Builder
	for _, pid := range m.pids {
		text.WriteString(Syslog(pid))
	}
	return text.String()
}

func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
