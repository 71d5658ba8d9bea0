package fusedev

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The protocol that tierfs speaks. The kernel speaks the lower minor of both.
const (
	protoMajor    = 7
	protoMinor    = 45
	protoMinMinor = 23 // struct fuse_init_out has its 64 bytes since then
)

// What INIT can offer (FUSE_* in fuse.h). Bits from 32 on travel in flags2.
const (
	initAsyncRead       = 1 << 0
	initAtomicTrunc     = 1 << 3
	initExport          = 1 << 4 // Linux 2.6.28
	initBigWrites       = 1 << 5
	initDontMask        = 1 << 6
	initIoctlDir        = 1 << 11
	initAutoInvalData   = 1 << 12
	initReaddirplus     = 1 << 13
	initReaddirplusAuto = 1 << 14
	initAsyncDIO        = 1 << 15
	initParallelDirops  = 1 << 18
	initPOSIXACL        = 1 << 20
	initMaxPages        = 1 << 22
	initCacheSymlinks   = 1 << 23
	initKillprivV2      = 1 << 28
	initSetxattrExt     = 1 << 29
	initExt             = 1 << 30
	initPassthrough     = 1 << 37 // Linux 6.9
	initNoExport        = 1 << 38 // Linux 6.9
)

// maxWrite is the largest WRITE that the kernel may send: the most that
// MAX_PAGES allows with pages of 4 KiB, and the largest READ.
const maxWrite = 1 << 20

// maxBackground is how many asynchronous requests (RELEASE, readahead) may be
// under way. The kernel's default of 12 makes close(2) wait behind a slow tier.
const maxBackground = 512

// bufferSize holds the largest request. The kernel refuses to fill a smaller
// buffer (fuse_dev_do_read: EINVAL).
const bufferSize = maxWrite + 4096

// minBuffer is enough before INIT is answered (FUSE_MIN_READ_BUFFER, linux/fuse.h).
const minBuffer = 8192

// offer is the set of features this mount would like.
func offer(cfg *Config) uint64 {
	f := uint64(initAsyncRead | initAtomicTrunc | initBigWrites | initDontMask | initIoctlDir | initAutoInvalData |
		initReaddirplus | initReaddirplusAuto | initAsyncDIO | initParallelDirops | initMaxPages | initKillprivV2 |
		initSetxattrExt | initExt)
	if cfg.POSIXACL {
		f |= initPOSIXACL
	}
	if cfg.CacheSymlinks {
		f |= initCacheSymlinks
	}
	// Said neither, the kernel gives out handles that are good for as long as it
	// remembers the inode, which nobody can know.
	if cfg.Export {
		f |= initExport
	} else {
		f |= initNoExport
	}
	if cfg.Passthrough {
		f |= initPassthrough
	}
	return f
}

// handshake reads the kernel's INIT from dev and answers it. It returns the
// features that both sides have, and the minor version that both speak.
func handshake(dev int, cfg *Config) (use uint64, minor uint32, err error) {
	buf := make([]byte, minBuffer)
	n, err := readRequest(dev, buf)
	if err != nil {
		return 0, 0, fmt.Errorf("/dev/fuse: reading the kernel's INIT: %w; see the kernel log", err)
	}
	h := parseHeader(buf[:n])
	c := &cursor{b: buf[inHeaderSize:n]}
	major := c.u32()
	minor = c.u32()
	readahead := c.u32()
	have := uint64(c.u32())
	if h.Opcode != opInit || c.short {
		return 0, 0, fmt.Errorf("/dev/fuse: the first request is %d, not INIT; please report it", h.Opcode)
	}
	if major != protoMajor || minor < protoMinMinor {
		return 0, 0, fmt.Errorf("/dev/fuse: the kernel speaks protocol %d.%d, tierfs needs %d.%d (Linux 3.15) or newer", major, minor, protoMajor, protoMinMinor)
	}
	if have&initExt != 0 {
		have |= uint64(c.u32()) << 32
	}
	use, minor = offer(cfg)&have, min(minor, protoMinor)
	return use, minor, answerInit(dev, h.Unique, minor, readahead, use)
}

// maxPages is maxWrite in pages of that size: for a READ of more, a shorter
// answer would be the end of the file.
func maxPages(page int) uint16 { return uint16(max(maxWrite/page, 1)) }

// answerInit writes struct fuse_init_out.
func answerInit(dev int, unique uint64, minor, readahead uint32, use uint64) error {
	var b [outHeaderSize + 64]byte
	putOutHeader(b[:], len(b), 0, unique)
	o := b[outHeaderSize:]
	order.PutUint32(o, protoMajor)
	order.PutUint32(o[4:], minor)
	order.PutUint32(o[8:], readahead)
	order.PutUint32(o[12:], uint32(use))
	order.PutUint16(o[16:], maxBackground)
	order.PutUint16(o[18:], maxBackground*3/4)
	order.PutUint32(o[20:], maxWrite)
	order.PutUint32(o[24:], 1) // time granularity, ns
	order.PutUint16(o[28:], maxPages(os.Getpagesize()))
	order.PutUint32(o[32:], uint32(use>>32))
	if use&initPassthrough != 0 {
		order.PutUint32(o[36:], 1) // max_stack_depth: a tier may not be stacked itself
	}
	if _, err := unix.Write(dev, b[:]); err != nil {
		return fmt.Errorf("/dev/fuse: answering INIT: %w; see the kernel log", err)
	}
	return nil
}

// syntheticInit is the INIT that a jacobsa/fuse connection finds in its pair.
// It negotiates with that alone; 7.34 is the newest it knows.
func syntheticInit() []byte {
	var b [inHeaderSize + 64]byte
	order.PutUint32(b[:], uint32(len(b)))
	order.PutUint32(b[4:], opInit)
	order.PutUint64(b[8:], 2)
	order.PutUint32(b[inHeaderSize:], protoMajor)
	order.PutUint32(b[inHeaderSize+4:], 34)
	return b[:]
}

// readRequest reads one request. ENOENT, EINTR and EAGAIN mean that a request
// was withdrawn or a signal came (fuse_dev_do_read).
func readRequest(dev int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(dev, buf)
		switch err {
		case nil:
			if n < inHeaderSize {
				return n, unix.EIO
			}
			return n, nil
		case unix.ENOENT, unix.EINTR, unix.EAGAIN:
		default:
			return 0, err
		}
	}
}
