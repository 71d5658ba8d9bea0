package mover

// texts say for people why a file stays. What is to be done about it, if
// anything, goes without saying.
var texts = map[Reason]string{
	Moved:       "moved",
	Young:       "not old enough for the policy",
	Warm:        "goes only when room is to be made (high=), the oldest first",
	Younger:     "younger than --older-than",
	NoPolicy:    "no policy moves files by their age (demote=, high=)",
	Lower:       "on a fallback already",
	Used:        "opened lately through the mount (promote=)",
	Fresh:       "changed a moment ago",
	Arrived:     "moved to its tier a moment ago, or copied there with its times",
	Future:      "its time is in the future",
	Open:        "open through the mount",
	OpenBeneath: "open in the tier, behind the mount",
	Changed:     "changed while it was copied",
	InUse:       "opened or in use while it was copied",
	Linked:      "has more than one name (hard links)",
	Special:     "not a regular file",
	Inner:       "on another filesystem or subvolume inside the tier, from which nothing moves",
	Deep:        "a directory whose path is longer than 4,095 bytes: what is in it does not move",
	Fixed:       "immutable or append-only (chattr), or its directory is",
	Excluded:    "left out by exclude=",
	Pinned:      "pinned by user.tierfs.pin",
	BadPin:      "pinned by a user.tierfs.pin that means nothing",
	NoRoom:      "no room for it on the other tier",
	Quota:       "a quota on the other tier is used up: of its owner, group or project, or of the subvolume",
	TooLarge:    "larger than a file can be on the other tier",
	Shadowed:    "hidden by the same name on a higher tier",
	Blocked:     "the other tier has something of that name already",
	Attributes:  "the other tier cannot hold its owner, mode, extended attributes or ACL",
	Gone:        "removed or renamed meanwhile",
	Away:        "a tier does not answer, or its disk was unmounted",
	ReadOnly:    "a tier is read-only",
	Highest:     "on the primary already",
	Lowest:      "no lower tier to move it to",
	Stopped:     "the job was ended before its turn",
	Failed:      "an error, see the log",
}

// Text is the reason in words.
func (r Reason) Text() string {
	if text, known := texts[r]; known {
		return text
	}
	return string(r)
}

// chosen reports that a file stays because the policy says so, not because
// something is in the way of it.
func (r Reason) chosen() bool {
	switch r {
	case Young, Warm, Younger, NoPolicy, Lower, Used, Special, Inner, Excluded, Pinned:
		return true
	}
	return false
}
