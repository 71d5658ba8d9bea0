// Package samba exports a mount with a fallback by a real smbd(8), on
// 127.0.0.1, and uses it as ordinary users do: what Windows clients store is
// extended attributes of many kinds, and it has to be found on the tier that
// has the file.
package samba

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierfs/tierfs/tests/harness"
)

func TestMain(m *testing.M) { harness.MainWithNetwork(m) }

const (
	ann = harness.UserAName
	ben = harness.UserBName
)

// TestShare: each case has a directory of its own, with "fast" on the primary
// and "slow" on the fallback, both ann's.
func TestShare(t *testing.T) {
	harness.Require(t, "passthrough")
	play(t, "passthrough=on", cases)
}

// TestShareThroughTheDaemon, as far as data are concerned.
func TestShareThroughTheDaemon(t *testing.T) {
	play(t, "passthrough=off", cases[:2])
}

func play(t *testing.T, option string, cases []testCase) {
	harness.Require(t, "root", "fuse", "smbd", "smbclient")
	m := harness.NewOn(t, []string{harness.On(t, "ext4", "64M"), harness.On(t, "ext4", "64M")}, option)
	for _, c := range cases {
		prepare(t, m, c.name)
	}
	m.Up()
	s := serve(t, m)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			here := *s
			here.t = t
			c.do(place{&here, c.name})
		})
	}
}

func prepare(t *testing.T, m *harness.Mount, name string) {
	t.Helper()
	for rank, sub := range []string{"fast", "slow"} {
		for _, dir := range []string{name, name + "/" + sub} {
			harness.Mkdir(t, filepath.Join(m.Tiers[rank], dir))
			harness.Chown(t, filepath.Join(m.Tiers[rank], dir), harness.UserA, harness.UserA)
		}
		file := filepath.Join(m.Tiers[rank], name, sub, "doc.txt")
		harness.Write(t, file, "on the "+sub+" tier\n")
		harness.Chown(t, file, harness.UserA, harness.UserA)
	}
}

// place is a case's own directory of the share.
type place struct {
	*share
	name string
}

// on is a path in the case's directory on a tier.
func (p place) on(rank int, rel string) string { return filepath.Join(p.Tiers[rank], p.name, rel) }

// do runs commands of smbclient in the case's directory; they have to work.
func (p place) do(user, commands string) string {
	p.t.Helper()
	return p.must(user, "cd "+p.name+"; "+commands)
}

// denied wants a command to be refused.
func (p place) denied(user, command string) {
	p.t.Helper()
	p.refuse(user, "cd "+p.name+"; "+command, "NT_STATUS_ACCESS_DENIED")
}

// local is a file of the client's with the given content.
func (p place) local(content []byte) string {
	p.t.Helper()
	path := filepath.Join(harness.TempDir(p.t), "local")
	harness.Write(p.t, path, string(content))
	return path
}

// get returns what a client reads.
func (p place) get(user, path string) string {
	p.t.Helper()
	to := filepath.Join(harness.TempDir(p.t), "got")
	p.do(user, "get "+path+" "+to)
	return harness.Read(p.t, to)
}

// only wants a file on one tier and on no other.
func (p place) only(rank int, rel string) {
	p.t.Helper()
	for r := range p.Tiers {
		if harness.Exists(p.t, p.on(r, rel)) != (r == rank) {
			p.t.Errorf("%s on tier %d: %v; want it on tier %d alone", rel, r, r != rank, rank)
		}
	}
}

// attribute wants a backing file to have an extended attribute.
func (p place) attribute(rank int, rel, name string) []byte {
	p.t.Helper()
	b := make([]byte, 65536)
	n, err := unix.Getxattr(p.on(rank, rel), name, b)
	if err != nil {
		p.t.Errorf("%s of %s on tier %d: %v", name, rel, rank, err)
	}
	return b[:max(n, 0)]
}

type testCase struct {
	name string
	do   func(p place)
}

var cases = []testCase{
	{"files", func(p place) {
		content := make([]byte, 5_000_000)
		rand.NewChaCha8([32]byte{1}).Read(content)
		for rank, sub := range []string{"fast", "slow"} {
			p.do(ann, "put "+p.local(content)+" "+sub+"/big")
			p.only(rank, sub+"/big")
			if got := p.get(ann, sub+"/big"); got != string(content) {
				p.t.Errorf("%d bytes put, %d others got", len(content), len(got))
			}
			if st := harness.Stat(p.t, p.on(rank, sub+"/big")); st.Uid != harness.UserA {
				p.t.Errorf("its owner is %d", st.Uid)
			}
			p.do(ann, "cd "+sub+"; mkdir d; rename big d/small; rename d e; rename e/small small; rmdir e; del small")
			harness.WantList(p.t, p.on(rank, sub), "doc.txt")
		}
		if out := p.do(ann, "ls"); !strings.Contains(out, "fast") || !strings.Contains(out, "slow") {
			p.t.Errorf("ls: %s", out)
		}
	}},
	{"in-place", func(p place) {
		was := harness.Stat(p.t, p.on(1, "slow/doc.txt"))
		if got := p.get(ann, "slow/doc.txt"); got != "on the slow tier\n" {
			p.t.Errorf("read %q", got)
		}
		p.do(ann, "put "+p.local([]byte("changed\n"))+" slow/doc.txt")
		harness.WantRead(p.t, p.on(1, "slow/doc.txt"), "changed\n")
		p.only(1, "slow/doc.txt")
		if is := harness.Stat(p.t, p.on(1, "slow/doc.txt")); is.Ino != was.Ino {
			p.t.Error("the file was made anew")
		}
		p.do(ann, "rename slow/doc.txt fast/moved.txt")
		p.only(1, "fast/moved.txt")
		if got := p.get(ann, "fast/moved.txt"); got != "changed\n" {
			p.t.Errorf("moved, it reads %q", got)
		}
	}},
	{"dos-attributes", func(p place) {
		for rank, file := range []string{"fast/doc.txt", "slow/doc.txt"} {
			p.do(ann, "setmode "+file+" +rsh")
			if out := p.do(ann, "allinfo "+file); !regexp.MustCompile(`attributes: +\w*RHS`).MatchString(out) || !strings.Contains(out, "create_time") {
				p.t.Errorf("allinfo %s: %s", file, out)
			}
			p.attribute(rank, file, "user.DOSATTRIB")
			p.do(ann, "setmode "+file+" -r-s-h")
		}
	}},
	{"streams", func(p place) {
		for rank, file := range []string{"fast/doc.txt", "slow/doc.txt"} {
			const stream = "zone of the download"
			p.do(ann, "put "+p.local([]byte(stream))+" "+file+":extra")
			if got := p.get(ann, file+":extra"); got != stream {
				p.t.Errorf("the stream of %s reads %q", file, got)
			}
			if got := p.get(ann, file); !strings.HasPrefix(got, "on the ") {
				p.t.Errorf("%s reads %q", file, got)
			}
			if out := p.do(ann, "allinfo "+file); !strings.Contains(out, "[:extra:$DATA], 20 bytes") {
				p.t.Errorf("allinfo %s: %s", file, out)
			}
			if value := p.attribute(rank, file, "user.DosStream.extra:$DATA"); !bytes.HasPrefix(value, []byte(stream)) {
				p.t.Errorf("the backing attribute of %s is %q", file, value)
			}
			p.do(ann, "rename "+file+" "+file+".new")
			if got := p.get(ann, file+".new:extra"); got != stream {
				p.t.Errorf("renamed, the stream of %s reads %q", file, got)
			}
			p.do(ann, "put "+p.local([]byte("less"))+" "+file+".new:extra")
			if got := p.get(ann, file+".new:extra"); got != "less" {
				p.t.Errorf("written anew, the stream of %s reads %q", file, got)
			}
			p.do(ann, "del "+file+".new")
			p.only(-1, file+".new")
		}
	}},
	{"nt-acls", func(p place) {
		for rank, file := range []string{"fast/doc.txt", "slow/doc.txt"} {
			harness.Chmod(p.t, filepath.Join(p.Dir, p.name, file), 0o600)
			p.denied(ben, "get "+file+" /dev/null")
			p.list(file, "-a", "ACL:"+ben+":ALLOWED/0x0/READ")
			if out := p.list(file); !strings.Contains(out, ben+":ALLOWED/0x0/R") {
				p.t.Errorf("smbcacls %s: %s", file, out)
			}
			p.attribute(rank, file, "security.NTACL")
			p.attribute(rank, file, "system.posix_acl_access")
			if got := p.get(ben, file); !strings.HasPrefix(got, "on the ") {
				p.t.Errorf("ben reads %q", got)
			}
			p.denied(ben, "put "+p.local([]byte("x"))+" "+file)
			p.list(file, "-D", "ACL:"+ben+":ALLOWED/0x0/READ")
			p.denied(ben, "get "+file+" /dev/null")
			p.list(file, "-a", "ACL:"+ben+":ALLOWED/0x0/FULL")
			p.do(ben, "put "+p.local([]byte("ben's\n"))+" "+file)
			harness.WantRead(p.t, p.on(rank, file), "ben's\n")
			p.list(file, "-a", "ACL:"+ben+":DENIED/0x0/FULL")
			p.denied(ben, "get "+file+" /dev/null")
		}
	}},
	{"permissions", func(p place) {
		for rank, sub := range []string{"fast", "slow"} {
			p.denied(ben, "put "+p.local([]byte("x"))+" "+sub+"/bens")
			p.denied(ben, "del "+sub+"/doc.txt")
			p.denied(ben, "mkdir "+sub+"/d")
			harness.WantList(p.t, p.on(rank, sub), "doc.txt")
			// An access list denies what the mode allows.
			harness.Chmod(p.t, filepath.Join(p.Dir, p.name, sub), 0o777)
			p.do(ben, "put "+p.local([]byte("x"))+" "+sub+"/bens")
			harness.Must(p.t, "setfacl", "-m", "u:"+ben+":---", filepath.Join(p.Dir, p.name, sub))
			p.denied(ben, "ls "+sub+"/*")
			p.denied(ben, "get "+sub+"/doc.txt /dev/null")
			p.denied(ben, "put "+p.local([]byte("x"))+" "+sub+"/more")
			harness.WantList(p.t, p.on(rank, sub), "bens", "doc.txt")
		}
	}},
	{"space", func(p place) {
		var fs unix.Statfs_t
		if err := unix.Statfs(p.Dir, &fs); err != nil {
			p.t.Fatal(err)
		}
		out := p.do(ann, "du")
		m := regexp.MustCompile(`(\d+) blocks of size (\d+)\.`).FindStringSubmatch(out)
		if m == nil {
			p.t.Fatalf("du: %s", out)
		}
		blocks, _ := strconv.ParseUint(m[1], 10, 64)
		size, _ := strconv.ParseUint(m[2], 10, 64)
		// Those that are reserved for root are not the client's.
		whole, usable := fs.Blocks*uint64(fs.Bsize), (fs.Blocks-fs.Bfree+fs.Bavail)*uint64(fs.Bsize)
		if got := blocks * size; got < usable-1<<20 || got > whole {
			p.t.Errorf("the share has %d bytes, the mount %d to %d", got, usable, whole)
		}
	}},
}

// list is smbcacls of a file in the case's directory, as ann; it has to work.
func (p place) list(file string, args ...string) string {
	p.t.Helper()
	out, ok := p.acl(ann, p.name+"/"+file, args...)
	if !ok {
		p.t.Fatalf("smbcacls %s %q: %s", file, args, out)
	}
	return out
}
