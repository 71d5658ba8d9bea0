package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// content is what the small files hold.
const content = 4096

func stat(dirfd int, name string) error {
	var st unix.Stat_t
	return unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
}

func statAbsent(dirfd int, name string) error {
	err := stat(dirfd, name)
	if err == unix.ENOENT {
		return nil
	}
	return fmt.Errorf("it is there (%v)", err)
}

func openReadClose(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var buf [content]byte
	n, err := unix.Read(fd, buf[:])
	if err == nil && n != content {
		err = unix.EIO
	}
	unix.Close(fd)
	return err
}

func createWriteClose(dirfd int, name string) error {
	fd, err := unix.Openat(dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	var buf [content]byte
	if _, err = unix.Write(fd, buf[:]); err != nil {
		unix.Close(fd)
		return err
	}
	return unix.Close(fd)
}

func mkdir(dirfd int, name string) error { return unix.Mkdirat(dirfd, name, 0o755) }

func rename(dirfd int, name string) error { return unix.Renameat(dirfd, name, dirfd, name+"r") }

func unlink(dirfd int, name string) error { return unix.Unlinkat(dirfd, name, 0) }

// list reads the names of a directory, as ls does.
func list(dirfd int, name string) error {
	fd, _, err := entries(dirfd, name)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// listStat reads a directory as ls -l does: all names, then stat(2) of each.
func listStat(dirfd int, name string) error {
	fd, all, err := entries(dirfd, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, e := range all {
		if err := stat(fd, e); err != nil {
			return err
		}
	}
	return nil
}

// entries opens a directory and reads its names.
func entries(dirfd int, name string) (fd int, all []string, err error) {
	fd, err = unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, err
	}
	var buf [32 << 10]byte // as glibc's opendir
	n := 0
	for n, err = unix.ReadDirent(fd, buf[:]); n > 0; n, err = unix.ReadDirent(fd, buf[:]) {
		_, _, all = unix.ParseDirent(buf[:n], -1, all)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, all, nil
}
