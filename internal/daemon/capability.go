package daemon

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// kept is what a daemon of root may do; everything else leaves its bounding
// set. Above all CAP_FSETID goes, without which the kernel clears set-ID bits
// when another user writes, and CAP_SYS_RESOURCE, which would let clients
// exceed quotas and eat the reserved blocks of a disk.
var kept = []uintptr{
	unix.CAP_CHOWN,           // files belong to who made them
	unix.CAP_DAC_OVERRIDE,    // the kernel has checked the client already
	unix.CAP_DAC_READ_SEARCH, // the same
	unix.CAP_FOWNER,          // chmod, utimens for the client
	unix.CAP_SETUID,          // fsuid of the client
	unix.CAP_SETGID,          // fsgid of the client
	unix.CAP_SETFCAP,         // security.capability
	unix.CAP_MKNOD,           // device nodes
	unix.CAP_LEASE,           // is a file open anywhere
	unix.CAP_LINUX_IMMUTABLE, // FS_IOC_SETFLAGS
	unix.CAP_SYS_ADMIN,       // mount, passthrough, trusted.*
	unix.CAP_SYS_NICE,        // idle I/O class
	unix.CAP_SYS_PTRACE,      // who keeps the mount busy, /proc/PID of clients
}

// secbitNoSetuidFixup is SECBIT_NO_SETUID_FIXUP of linux/securebits.h: changing
// the fsuid leaves the capabilities as they are.
const secbitNoSetuidFixup = 1 << 2

// LimitCapabilities cuts the calling thread's capabilities to the written list.
// The thread must be locked. The permitted set shrinks with the next
// execve(2), which the same thread must call: then the program starts with the
// list, and so does every thread that it makes (capabilities(7),
// "Transformation of capabilities during execve").
func LimitCapabilities() error {
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return capabilityError("prctl PR_GET_SECUREBITS", err)
	}
	if bits&secbitNoSetuidFixup == 0 {
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits|secbitNoSetuidFixup), 0, 0, 0); err != nil {
			return capabilityError("prctl PR_SET_SECUREBITS", err)
		}
	}
	if err := limitBounding(); err != nil {
		return err
	}
	return limitInheritable()
}

func capabilityError(call string, err error) error {
	return fmt.Errorf("capabilities: %s: %w; run with CAP_SETPCAP", call, err)
}

// limitBounding drops what is not kept. The kernel names its last capability
// by EINVAL for the next.
func limitBounding() error {
	for c := uintptr(0); ; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			return nil
		}
		if has == 0 || slices.Contains(kept, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return capabilityError("prctl PR_CAPBSET_DROP", err)
		}
	}
}

// limitInheritable drops what is not kept from the inheritable set too: execve
// adds that to the permitted set whatever the bounding set says, and container
// runtimes of old fill it. Ambient capabilities go with it.
func limitInheritable() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return capabilityError("capget", err)
	}
	mask := keptMask()
	data[0].Inheritable &= uint32(mask)
	data[1].Inheritable &= uint32(mask >> 32)
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return capabilityError("capset", err)
	}
	return nil
}

// keptMask is the list as /proc/PID/status shows it.
func keptMask() uint64 {
	var mask uint64
	for _, c := range kept {
		mask |= 1 << c
	}
	return mask
}
