package control

// Check is the body of POST /v1/check.
type Check struct {
	Repair bool `json:"repair,omitempty"` // mend what can be mended without a loss
	Rename bool `json:"rename,omitempty"` // show hidden files that differ, under names of their own
}

// CheckLine is one line of the answer: a Finding for each, End at last.
type CheckLine struct {
	Finding *Finding  `json:"finding,omitempty"`
	End     *CheckEnd `json:"end,omitempty"`
	Error   string    `json:"error,omitempty"` // beside End: what ended the check early
}

// CheckEnd says what was looked through.
type CheckEnd struct {
	Directories int `json:"directories"`
	Entries     int `json:"entries"` // on all tiers together
	Findings    int `json:"findings"`
	Mended      int `json:"mended"`
}

// Finding is something that should not be.
type Finding struct {
	Kind   string `json:"kind"`
	Path   Name   `json:"path"` // in the tier
	At     Name   `json:"at"`   // beside the mount: the tier's root and Path
	Tier   int    `json:"tier"` // its rank
	Over   int    `json:"over"` // the rank that is shown instead; Tier if none is
	Bytes  int64  `json:"bytes,omitempty"`
	Text   string `json:"text"`             // what it is, and what a person can do
	Mend   string `json:"mend,omitempty"`   // what a repair does; nothing if empty
	Mended bool   `json:"mended,omitempty"` // a repair has done it
	Done   string `json:"done,omitempty"`   // what it has done, if so
	Error  string `json:"error,omitempty"`  // why it could not
}
