package watch

import (
	"bytes"
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Sizes of fanotify(7)'s structures.
const (
	metadataSize = 24 // struct fanotify_event_metadata
	infoSize     = 4  // struct fanotify_event_info_header
	fsidSize     = 8
	handleSize   = 8 // struct file_handle before the handle itself
)

// order is the kernel's own.
var order = binary.NativeEndian

// event is one event as it stands in the buffer that was read.
type event struct {
	mask   uint64
	pid    int32
	handle []byte // type and bytes of the handle; nil if there is none
	name   []byte
}

var errShort = errors.New("fanotify: an event that ends too soon")

// parse calls fn for each event in b.
func parse(b []byte, fn func(event)) error {
	for len(b) > 0 {
		if len(b) < metadataSize {
			return errShort
		}
		size, head := int(order.Uint32(b)), int(order.Uint16(b[6:]))
		if b[4] != unix.FANOTIFY_METADATA_VERSION {
			return errors.New("fanotify: events of another version")
		}
		if size < head || head < metadataSize || size > len(b) {
			return errShort
		}
		e := event{mask: order.Uint64(b[8:]), pid: int32(order.Uint32(b[20:]))}
		if err := e.addInfo(b[head:size]); err != nil {
			return err
		}
		fn(e)
		b = b[size:]
	}
	return nil
}

// addInfo reads the records that follow an event; the first that names an
// object counts.
func (e *event) addInfo(b []byte) error {
	for len(b) > 0 {
		if len(b) < infoSize {
			return errShort
		}
		kind, size := b[0], int(order.Uint16(b[2:]))
		if size < infoSize || size > len(b) {
			return errShort
		}
		switch kind {
		case unix.FAN_EVENT_INFO_TYPE_FID, unix.FAN_EVENT_INFO_TYPE_DFID, unix.FAN_EVENT_INFO_TYPE_DFID_NAME:
			if e.handle == nil {
				if err := e.addHandle(b[infoSize:size], kind == unix.FAN_EVENT_INFO_TYPE_DFID_NAME); err != nil {
					return err
				}
			}
		}
		b = b[size:]
	}
	return nil
}

// addHandle reads a record's filesystem, handle and name.
func (e *event) addHandle(b []byte, named bool) error {
	if len(b) < fsidSize+handleSize {
		return errShort
	}
	b = b[fsidSize:]
	n := int(order.Uint32(b))
	if n > len(b)-handleSize {
		return errShort
	}
	e.handle = b[4 : handleSize+n : handleSize+n]
	if named {
		e.name, _, _ = bytes.Cut(b[handleSize+n:], []byte{0})
	}
	return nil
}
