package mountopt

// ignoredOptions are the rows of what arrives from mount(8), mount.fuse3 or an
// fstab line written for another file system, and needs nothing done. mount(2)
// answers EINVAL for words it does not know, so they must end here.
func ignoredOptions() []option {
	return []option{
		ignored(Entry{Name: "default_permissions", Default: "on", Help: "the kernel checks permissions, always"}),

		ignored(Entry{Name: "_netdev", Help: "for systemd: wait for the network"}),
		ignored(Entry{Name: "user", Arg: "[NAME]", Help: "for mount(8): users may mount"}),
		ignored(Entry{Name: "nouser", Help: "for mount(8): only root may mount"}),
		ignored(Entry{Name: "users", Help: "for mount(8): users may mount and unmount"}),
		ignored(Entry{Name: "nousers", Help: "for mount(8): undo users"}),
		ignored(Entry{Name: "owner", Help: "for mount(8): the owner may mount"}),
		ignored(Entry{Name: "noowner", Help: "for mount(8): undo owner"}),
		ignored(Entry{Name: "group", Help: "for mount(8): the group may mount"}),
		ignored(Entry{Name: "nogroup", Help: "for mount(8): undo group"}),
		ignored(Entry{Name: "uhelper", Arg: "NAME", Help: "for umount(8): the helper to call for users"}),
		fromMountinfo(Entry{Name: "user_id", Arg: "ID", Help: "from mountinfo, in a remount"}),
		ignored(Entry{Name: "group_id", Arg: "ID", Help: "from mountinfo, in a remount"}),
		ignored(Entry{Name: "rootmode", Arg: "MODE", Help: "from mountinfo, in a remount"}),
		ignored(Entry{Name: "blksize", Arg: "BYTES", Help: "from mountinfo, in a remount"}),
		ignored(Entry{Name: "helper", Arg: "NAME", Help: "for umount(8): the helper to call"}),

		ignored(Entry{Name: "norelatime", Help: "the kernel's default since 2.6.30 is relatime"}),
		ignored(Entry{Name: "mand", Help: "the kernel has no mandatory locks since 5.15"}),
		ignored(Entry{Name: "nomand", Help: "the kernel has no mandatory locks since 5.15"}),
		ignored(Entry{Name: "iversion", Help: "up to the tiers"}),
		ignored(Entry{Name: "noiversion", Help: "up to the tiers"}),
		ignored(Entry{Name: "silent", Help: "messages are few"}),
		ignored(Entry{Name: "loud", Help: "messages are few"}),
		ignored(Entry{Name: "bg", Help: "for network file systems: try again in the background"}),

		ignored(Entry{Name: "auto", Help: "for mount(8): mount with -a"}),
		ignored(Entry{Name: "noauto", Help: "for mount(8): do not mount with -a"}),
		ignored(Entry{Name: "defaults", Help: "for fstab: no option"}),
		ignored(Entry{Name: "comment", Arg: "TEXT", Help: "for fstab: a comment"}),
		ignored(Entry{Name: "x-*", Arg: "[VALUE]", Help: "for other programs, such as x-systemd.automount"}),
		ignored(Entry{Name: "X-*", Arg: "[VALUE]", Help: "for other programs"}),
	}
}
