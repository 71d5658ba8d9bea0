package mountopt

import "golang.org/x/sys/unix"

// mountOptions are the rows of what every mount can be told, in the words of
// libmount's optmap.c.
func mountOptions() []option {
	const times = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	return group(GroupMount,
		flag(Entry{Name: "rw", Default: "on", Setting: "ro",
			Help: "mount read-write"}, 0, unix.MS_RDONLY),
		flag(Entry{Name: "ro",
			Help: "mount read-only"}, unix.MS_RDONLY, 0),
		flag(Entry{Name: "suid",
			Help: "honour set-user-ID and set-group-ID bits, for mounts by root"}, 0, unix.MS_NOSUID),
		// mount(8) does not pass on the words suid and dev, which undo what it
		// takes for the default anyway (seen with util-linux 2.38). Hence
		// second names.
		allow(Entry{Name: "allow_suid", Setting: "suid",
			Help: "same as suid, which mount(8) and fstab do not pass on"}, unix.MS_NOSUID),
		allow(Entry{Name: "allow_dev", Setting: "dev",
			Help: "same as dev, which mount(8) and fstab do not pass on"}, unix.MS_NODEV),
		flag(Entry{Name: "nosuid", Default: "on", Setting: "suid",
			Help: "ignore set-user-ID and set-group-ID bits"}, unix.MS_NOSUID, 0),
		flag(Entry{Name: "dev",
			Help: "let device nodes work, for mounts by root"}, 0, unix.MS_NODEV),
		flag(Entry{Name: "nodev", Default: "on", Setting: "dev",
			Help: "device nodes do not work"}, unix.MS_NODEV, 0),
		unsaid(flag(Entry{Name: "exec", Default: "on",
			Help: "let programs be run"}, 0, unix.MS_NOEXEC)),
		flag(Entry{Name: "noexec", Setting: "exec",
			Help: "let no program be run"}, unix.MS_NOEXEC, 0),

		// The kernel lets strictatime win over noatime and both over relatime;
		// here the last one given wins.
		unsaid(flag(Entry{Name: "atime", Default: "on",
			Help: "undo noatime"}, 0, unix.MS_NOATIME)),
		flag(Entry{Name: "noatime", Setting: "atime",
			Help: "never renew access times"}, unix.MS_NOATIME, times&^unix.MS_NOATIME),
		flag(Entry{Name: "relatime", Setting: "atime",
			Help: "renew access times once a day or after a change"}, unix.MS_RELATIME, times&^unix.MS_RELATIME),
		flag(Entry{Name: "strictatime", Setting: "atime",
			Help: "renew access times always"}, unix.MS_STRICTATIME, times&^unix.MS_STRICTATIME),
		unsaid(flag(Entry{Name: "nostrictatime", Default: "on", Setting: "atime",
			Help: "undo strictatime"}, 0, unix.MS_STRICTATIME)),
		unsaid(flag(Entry{Name: "diratime", Default: "on",
			Help: "undo nodiratime"}, 0, unix.MS_NODIRATIME)),
		flag(Entry{Name: "nodiratime", Setting: "diratime",
			Help: "never renew access times of directories"}, unix.MS_NODIRATIME, 0),
		flag(Entry{Name: "lazytime",
			Help: "keep changed times in memory for a while"}, unix.MS_LAZYTIME, 0),
		unsaid(flag(Entry{Name: "nolazytime", Default: "on", Setting: "lazytime",
			Help: "undo lazytime"}, 0, unix.MS_LAZYTIME)),

		flag(Entry{Name: "sync",
			Help: "write at once"}, unix.MS_SYNCHRONOUS, 0),
		unsaid(flag(Entry{Name: "async", Default: "on", Setting: "sync",
			Help: "undo sync"}, 0, unix.MS_SYNCHRONOUS)),
		flag(Entry{Name: "dirsync",
			Help: "change directories at once"}, unix.MS_DIRSYNC, 0),
		unsaid(flag(Entry{Name: "symfollow", Default: "on",
			Help: "undo nosymfollow"}, 0, unix.MS_NOSYMFOLLOW)),
		flag(Entry{Name: "nosymfollow", Setting: "symfollow",
			Help: "do not follow symbolic links in the mount"}, unix.MS_NOSYMFOLLOW, 0),

		word(Entry{Name: "nofail",
			Help: "do not fail when a tier is missing: warn and mount nothing"},
			func(o *Options) *bool { return &o.NoFail }, true),
		remount(Entry{Name: "remount",
			Help: "change the options of a mount that is up"}),

		label(Entry{Name: "context", Arg: "CONTEXT",
			Help: "SELinux context of all files"}),
		label(Entry{Name: "fscontext", Arg: "CONTEXT",
			Help: "SELinux context of the file system itself"}),
		label(Entry{Name: "defcontext", Arg: "CONTEXT",
			Help: "SELinux context of files that have none"}),
		label(Entry{Name: "rootcontext", Arg: "CONTEXT",
			Help: "SELinux context of the top directory"}),
	)
}
