package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// counted is how many READ and WRITE requests came to the tierfs daemons while
// fio worked in their mounts: the proof that data does not pass through them.
type counted struct {
	Known bool   `json:"known"`
	Read  uint64 `json:"read"`
	Write uint64 `json:"write"`
}

// add takes in what was counted between two looks at a daemon.
func (c *counted) add(before, after map[string]uint64) {
	if before == nil || after == nil {
		return
	}
	c.Known = true
	c.Read += after["READ"] - before["READ"]
	c.Write += after["WRITE"] - before["WRITE"]
}

// status is what is read of tierfs status.
type status struct {
	Ops    map[string]uint64 // served, by kind
	Inodes int               // that the kernel knows
}

// ops are the ops that a tierfs daemon has served. They are nil for other
// subjects.
func (m *mounted) ops(ctx context.Context) (map[string]uint64, error) {
	if m.tierfs == "" {
		return nil, nil
	}
	s, err := m.status(ctx)
	if s.Ops == nil {
		s.Ops = map[string]uint64{}
	}
	return s.Ops, err
}

func (m *mounted) status(ctx context.Context) (status, error) {
	cmd := exec.CommandContext(ctx, m.tierfs)
	cmd.Args = []string{"tierfs", "status", "--json", m.dir} // argv[0] makes it the command
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return status{}, fmt.Errorf("tierfs status: %w: %s%s", err, said.String(), out)
	}
	var all []status
	if err := json.Unmarshal(out, &all); err != nil {
		return status{}, fmt.Errorf("tierfs status: %w", err)
	}
	if len(all) != 1 {
		return status{}, fmt.Errorf("tierfs status: it tells of %d mounts, want 1", len(all))
	}
	return all[0], nil
}
