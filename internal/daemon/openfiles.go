package daemon

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is the number of a filesystem as mountinfo and maps have it. For the files
// of a Btrfs subvolume stat(2) has another.
type Device struct{ Major, Minor uint32 }

// File is a file by its filesystem and its number there.
type File struct {
	Device
	Ino uint64
}

// OpenFiles returns the files on some filesystems that other processes have open
// or mapped, as far as this one may look at them, until ctx ends. As by Holders no
// filesystem is asked, so that none can be waited for. The numbers of open files are
// known from Linux 5.14 on.
func OpenFiles(ctx context.Context, on map[Device]bool) map[File]bool {
	found := make(chan File)
	go searchOpenFiles(ctx, "/proc", on, found)
	all := map[File]bool{}
	for {
		select {
		case f, more := <-found:
			if !more {
				return all
			}
			all[f] = true
		case <-ctx.Done():
			return all
		}
	}
}

// searchOpenFiles sends what it finds and closes found. It ends soon after ctx.
func searchOpenFiles(ctx context.Context, proc string, on map[Device]bool, found chan<- File) {
	defer close(found)
	send := func(f File) {
		if !on[f.Device] {
			return
		}
		select {
		case found <- f:
		case <-ctx.Done():
		}
	}
	mounts := map[int]Device{} // by ID, which no two namespaces share
	for _, pid := range processes(proc) {
		if ctx.Err() != nil {
			return
		}
		if pid != os.Getpid() {
			base := proc + "/" + strconv.Itoa(pid)
			openedBy(base, mounts, send)
			maps, _ := os.ReadFile(base + "/maps")
			mappedFiles(string(maps), send)
		}
	}
}

// openedBy tells of the files that the process at base has open.
func openedBy(base string, mounts map[int]Device, tell func(File)) {
	looked := false
	for _, link := range links(base) {
		fd, ok := strings.CutPrefix(link, "fd/")
		if !ok {
			continue
		}
		if target, err := os.Readlink(base + "/" + link); err != nil || !strings.HasPrefix(target, "/") {
			continue // a socket, a pipe
		}
		mount, ino, ok := parseFDInfo(readSmall(base + "/fdinfo/" + fd))
		if !ok {
			continue
		}
		if _, known := mounts[mount]; !known && !looked {
			looked = true
			text, _ := os.ReadFile(base + "/mountinfo")
			for _, m := range ParseMounts(string(text)) {
				mounts[m.ID] = Device{m.Major, m.Minor}
			}
		}
		if dev, known := mounts[mount]; known {
			tell(File{dev, ino})
		}
	}
}

// readSmall is the first of a text in /proc. There may be tens of thousands of them,
// and os.ReadFile takes twice the system calls.
func readSmall(path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	b := make([]byte, 512)
	n, err := unix.Read(fd, b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// parseFDInfo reads the mount and the number of a file in /proc/PID/fdinfo,
// proc_pid_fdinfo(5). One with O_PATH is not open.
func parseFDInfo(text []byte) (mount int, ino uint64, ok bool) {
	mount = -1
	for line := range bytes.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":\t")
		switch name {
		case "flags":
			if flags, err := strconv.ParseUint(value, 8, 32); err != nil || flags&unix.O_PATH != 0 {
				return 0, 0, false
			}
		case "mnt_id":
			mount, _ = strconv.Atoi(value)
		case "ino":
			ino, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return mount, ino, mount >= 0 && ino > 0
}

// mappedFiles tells of the files in the text of /proc/PID/maps: addresses, rights,
// offset, device, number, path.
func mappedFiles(maps string, tell func(File)) {
	var last File
	for line := range strings.Lines(maps) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		major, minor, _ := strings.Cut(f[3], ":")
		maj, err1 := strconv.ParseUint(major, 16, 32)
		min, err2 := strconv.ParseUint(minor, 16, 32)
		ino, err3 := strconv.ParseUint(f[4], 10, 64)
		file := File{Device{uint32(maj), uint32(min)}, ino}
		if err1 != nil || err2 != nil || err3 != nil || ino == 0 || file == last {
			continue // one file has several lines in a row
		}
		last = file
		tell(file)
	}
}
