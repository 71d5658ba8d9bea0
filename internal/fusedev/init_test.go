package fusedev

import (
	"testing"

	"golang.org/x/sys/unix"
)

// greet lets a kernel send its INIT and returns what it is answered.
func greet(t *testing.T, cfg Config, msg []byte) (use uint64, out initOut, err error) {
	t.Helper()
	fd, dev := pair(t)
	defer unix.Close(fd)
	defer unix.Close(dev)
	if _, err := unix.Write(fd, msg); err != nil {
		t.Fatal(err)
	}
	if use, _, err = handshake(dev, &cfg); err != nil {
		return use, out, err
	}
	b := make([]byte, 256)
	n, err := unix.Read(fd, b)
	if err != nil {
		t.Fatal(err)
	}
	var h outHeader
	rest := unpack(t, unpack(t, b[:n], &h), &out)
	if h.Len != 80 || n != 80 || h.Error != 0 || h.Unique != 2 || len(rest) != 0 {
		t.Errorf("header %+v of %d bytes", h, n)
	}
	return use, out, nil
}

func initMessage(in initIn) []byte { return message(26, 2, 0, 0, in) }

var everything = Config{Passthrough: true, POSIXACL: true, CacheSymlinks: true}

// The bits of fuse.h by their numbers.
const (
	bitExt         = 1 << 30
	bitPOSIXACL    = 1 << 20
	bitSymlinks    = 1 << 23
	bitDontMask    = 1 << 6
	bitPassthrough = 1 << 37
	bitExport      = 1 << 4
	bitNoExport    = 1 << 38
	bitWriteback   = 1 << 16
	bitNoOpen      = 1 << 17
)

func TestHandshakeWithANewKernel(t *testing.T) {
	use, out, err := greet(t, everything, initMessage(newKernel))
	if err != nil {
		t.Fatal(err)
	}
	if out.Major != 7 || out.Minor != 45 || out.MaxReadahead != 131072 || out.MaxWrite != 1<<20 || out.MaxPages != 256 || out.TimeGran != 1 {
		t.Errorf("answered %+v", out)
	}
	if out.MaxBackground < 12 || out.CongestionThreshold == 0 || out.CongestionThreshold > out.MaxBackground {
		t.Errorf("background %d, congested at %d", out.MaxBackground, out.CongestionThreshold)
	}
	if got := uint64(out.Flags) | uint64(out.Flags2)<<32; got != use {
		t.Errorf("answered the features %#x, thinks that it has %#x", got, use)
	}
	for _, bit := range []uint64{bitExt, bitPOSIXACL, bitSymlinks, bitDontMask, bitPassthrough} {
		if use&bit == 0 {
			t.Errorf("feature %#x is not taken", bit)
		}
	}
	// The writeback cache and passthrough exclude each other; without OPEN
	// there would be no handle to count.
	for _, bit := range []uint64{bitWriteback, bitNoOpen} {
		if use&bit != 0 {
			t.Errorf("feature %#x is taken", bit)
		}
	}
	if out.MaxStackDepth != 1 {
		t.Errorf("stack depth %d", out.MaxStackDepth)
	}
}

func TestHandshakeTakesOnlyWhatTheMountWants(t *testing.T) {
	use, out, err := greet(t, Config{}, initMessage(newKernel))
	if err != nil {
		t.Fatal(err)
	}
	if use&(bitPOSIXACL|bitSymlinks|bitPassthrough) != 0 || out.MaxStackDepth != 0 || out.Flags2 != bitNoExport>>32 {
		t.Errorf("features %#x, stack depth %d", use, out.MaxStackDepth)
	}
}

// Said neither, the kernel gives out handles that stop working when it pleases.
func TestHandshakeOffersExportOrForbidsIt(t *testing.T) {
	for _, export := range []bool{false, true} {
		use, _, err := greet(t, Config{Export: export}, initMessage(newKernel))
		if err != nil || (use&bitExport != 0) != export || (use&bitNoExport != 0) == export {
			t.Errorf("export %v: features %#x, %v", export, use, err)
		}
	}
}

func TestHandshakeTakesOnlyWhatTheKernelOffers(t *testing.T) {
	in := newKernel
	in.Flags = bitExt | bitDontMask
	in.Flags2 = 0xffffffff &^ ((bitPassthrough | bitNoExport) >> 32)
	use, out, err := greet(t, everything, initMessage(in))
	if err != nil || use != bitExt|bitDontMask || out.MaxStackDepth != 0 {
		t.Errorf("features %#x, stack depth %d, %v", use, out.MaxStackDepth, err)
	}
}

// Linux 3.15 sends 16 bytes. Flags that it does not know of must not be read
// from behind them.
func TestHandshakeWithTheOldestKernel(t *testing.T) {
	msg := message(26, 2, 0, 0, []uint32{7, 23, 65536, 0xffffffff &^ bitExt})
	use, out, err := greet(t, everything, msg)
	if err != nil {
		t.Fatal(err)
	}
	if out.Major != 7 || out.Minor != 23 || out.MaxReadahead != 65536 {
		t.Errorf("answered %+v", out)
	}
	if use>>32 != 0 || use&bitExt != 0 || out.Flags2 != 0 || out.MaxStackDepth != 0 {
		t.Errorf("features %#x", use)
	}
}

// A kernel that has not set INIT_EXT may have anything in the fields behind.
func TestHandshakeWithoutExtIgnoresFlags2(t *testing.T) {
	in := newKernel
	in.Minor, in.Flags = 35, 0xffffffff&^bitExt
	use, _, err := greet(t, everything, initMessage(in))
	if err != nil || use>>32 != 0 {
		t.Errorf("features %#x, %v", use, err)
	}
}

func TestHandshakeWithAKernelOfTheFuture(t *testing.T) {
	in := newKernel
	in.Minor = 99
	_, out, err := greet(t, everything, initMessage(in))
	if err != nil || out.Minor != 45 {
		t.Errorf("minor %d, %v", out.Minor, err)
	}
}

func TestHandshakeRefuses(t *testing.T) {
	old, next := newKernel, newKernel
	old.Minor, next.Major = 22, 8
	for what, msg := range map[string][]byte{
		"an old kernel":    initMessage(old),
		"another protocol": initMessage(next),
		"another request":  message(opGetattr, 2, 1, 0, newKernel),
		"half a request":   message(26, 2, 0, 0, []uint32{7, 45, 0}),
		"no body":          message(26, 2, 0, 0),
		"no header":        message(26, 2, 0, 0)[:39],
	} {
		if use, _, err := greet(t, everything, msg); err == nil || use != 0 {
			t.Errorf("%s was accepted with features %#x", what, use)
		}
	}
}

func TestHandshakeOfADeadConnectionFails(t *testing.T) {
	fd, dev := pair(t)
	unix.Close(fd)
	defer unix.Close(dev)
	if _, _, err := handshake(dev, &Config{}); err == nil {
		t.Error("no error")
	}
}

// A READ for more than the daemon gives would end in zeroes: the kernel takes a
// short answer for the end of the file. Pages of 64 KiB made it 16 MiB.
func TestNoReadIsLargerThanTheDaemonGives(t *testing.T) {
	for page, want := range map[int]uint16{4 << 10: 256, 16 << 10: 64, 64 << 10: 16} {
		if got := maxPages(page); got != want {
			t.Errorf("pages of %d: %d, want %d", page, got, want)
		}
	}
}
