package faultfs

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// request is one line on the control socket; each is answered by a Report.
type request struct {
	Arm    *Plan
	Disarm bool
}

// controlFD is the socket that the test keeps the other end of.
const controlFD = 3

// serve is the second self: args are pairs of a directory and a mount point.
func serve(args []string) error {
	unix.Umask(0)
	g := &gate{}
	for i := 0; i+1 < len(args); i += 2 {
		if err := mount(args[i], args[i+1], i/2, g); err != nil {
			return err
		}
	}
	control := os.NewFile(controlFD, "control")
	dec, enc := json.NewDecoder(control), json.NewEncoder(control)
	for {
		var r request
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return nil // the test has ended
		} else if err != nil {
			return err
		}
		rep := g.now()
		switch {
		case r.Arm != nil:
			rep = g.arm(r.Arm)
		case r.Disarm:
			rep = g.disarm()
		}
		if err := enc.Encode(rep); err != nil {
			return err
		}
	}
}

// mount serves the directory root as disk n. Nothing is cached by the kernel,
// so that what tierfs asks comes here.
func mount(root, dir string, n int, g *gate) error {
	loopback, err := fs.NewLoopbackRoot(root)
	if err != nil {
		return err
	}
	raw := fs.NewNodeFS(loopback, &fs.Options{EntryTimeout: new(time.Duration), AttrTimeout: new(time.Duration)})
	srv, err := fuse.NewServer(&disk{RawFileSystem: raw, gate: g, n: n, born: time.Now().UnixNano()}, dir, &fuse.MountOptions{
		AllowOther: true, DirectMountStrict: true, DirectMountFlags: unix.MS_NOSUID | unix.MS_NODEV,
		Options: []string{"default_permissions"}, FsName: "faultfs", Name: "faultfs",
	})
	if err != nil {
		return err
	}
	go srv.Serve()
	return srv.WaitMount()
}
