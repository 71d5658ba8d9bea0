package main

import (
	"fmt"
	"os"

	"github.com/tierfs/tierfs/internal/daemon"
	"github.com/tierfs/tierfs/internal/generator"
)

// generatorName is what systemd knows the command by.
const generatorName = "tierfs-generator"

// generate is run by systemd at boot and at every daemon-reload, with three
// directories or one, of which the first is for what yields to the
// administrator's own units (systemd.generator(7)). Whatever is wrong with
// fstab, it succeeds: the other mounts have their drop-ins.
//
// In an initrd it does nothing: a daemon that is started there does not outlive
// the change to the real root.
func generate(args []string) error {
	if len(args) != 1 && len(args) != 3 {
		return usage("want the directory to write to, as systemd gives it; see systemd.generator(7)")
	}
	if exists("/etc/initrd-release") {
		return nil
	}
	generator.Run(daemon.Fstab(), args[0], sayEarly)
	return nil
}

// sayEarly says a line to whoever runs the generator, and if that is nobody at a
// terminal, to the kernel's log as well: no other is there that early.
func sayEarly(line string) {
	say(generatorName, line)
	if isTerminal(os.Stderr) {
		return
	}
	kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer kmsg.Close()
	const daemonWarning = 3<<3 | 4 // LOG_DAEMON, LOG_WARNING of syslog(3)
	_, _ = fmt.Fprintf(kmsg, "<%d>%s: %s\n", daemonWarning, generatorName, daemon.Printable(line))
}
