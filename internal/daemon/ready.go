package daemon

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ReadyFD is where the daemon finds its end of the pipe on which the helper
// waits for a Word.
const ReadyFD = 3

// Word is what the daemon tells the helper, once.
type Word string

const (
	Mounted Word = "mounted" // the mount is up
	Nothing Word = "nothing" // nothing is mounted, and that is fine (nofail)
	Silence Word = ""        // the daemon ended without a word
)

// maxWord bounds what is read: the pipe is ours, but a bug must not eat memory.
const maxWord = 32

// Ready is the daemon's end of the pipe. In the foreground nobody waits: the
// zero value takes the word and drops it.
type Ready struct{ pipe *os.File }

// OpenReady takes over the pipe at ReadyFD.
func OpenReady() (Ready, error) {
	var st unix.Stat_t
	if err := unix.Fstat(ReadyFD, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return Ready{}, fmt.Errorf("descriptor %d: not the helper's pipe; start tierfs through mount(8)", ReadyFD)
	}
	unix.CloseOnExec(ReadyFD)
	return Ready{os.NewFile(ReadyFD, "ready")}, nil
}

// Tell says w and closes the pipe. An error means that the helper is gone: the
// mount has been given up by whoever asked for it.
func (r Ready) Tell(w Word) error {
	if r.pipe == nil {
		return nil
	}
	_, err := io.WriteString(r.pipe, string(w)+"\n")
	if cerr := r.pipe.Close(); err == nil {
		err = cerr
	}
	return err
}

// Await reads the daemon's word. It returns when the daemon has spoken or
// ended.
func Await(pipe io.Reader) Word {
	line, _ := io.ReadAll(io.LimitReader(pipe, maxWord))
	switch w := Word(bytes.TrimSuffix(line, []byte("\n"))); w {
	case Mounted, Nothing:
		return w
	}
	return Silence
}
