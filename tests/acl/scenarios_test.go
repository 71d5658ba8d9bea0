package acl

// scenario is a list of shell commands, each after the name of the user who
// runs it. They run in a directory of their own with the file "old" (0644) and
// the directory "olddir" (0755) with a file, all of root.
type scenario struct{ name, lines string }

// everybody tries the same on a file; root's own tries are left out, as root
// is asked no questions.
func everybody(command string) string {
	return "\nalice " + command + "\nbob " + command + "\ncarol " + command + "\ndave " + command + "\n"
}

const (
	tryFile = `cat old; echo more >>old; test -r old && echo readable; test -w old && echo writable; test -x old && echo executable; true`
	tryDir  = `ls olddir; cat olddir/f; echo x >olddir/$(id -u); mkdir olddir/d$(id -u); rm -f olddir/f-$(id -u); test -w olddir && echo writable; test -x olddir && echo passable; true`
)

var scenarios = []scenario{
	{"denied where the mode allows", `
root chmod 666 old
root setfacl -m u:2001:---,g:2502:r,g:2504:- old` + everybody(tryFile) + `
root getfacl -n old; stat -c '%a %u:%g' old
root chmod 777 olddir
root setfacl -m u:2002:---,g:2503:r-x olddir` + everybody(tryDir)},

	{"allowed where the mode denies", `
root chmod 600 old; chmod 700 olddir
root setfacl -m u:2001:rw,g:2504:r old; setfacl -m u:2001:rwx,g:2503:x olddir` + everybody(tryFile) + everybody(tryDir)},

	{"groups of a member", `
# of several groups that match, one that allows is enough; none falls back to others
root chown 0:2501 old; chmod 606 old
root setfacl -m g:2502:rw,g:2503:--- old` + everybody(tryFile) + `
root setfacl -m g:2502:r,g:2504:w old` + everybody(tryFile) + `
root setfacl -x g:2503 old; setfacl -m g::--- old` + everybody(tryFile)},

	{"owner and others", `
root chown 2001:2503 old; chmod 604 old
root setfacl -m u:2001:---,u:2002:rw old` + everybody(tryFile) + `
alice setfacl -m o::---,g::r old` + everybody(tryFile)},

	{"mask and chmod", `
root setfacl -m u:2001:rwx,g:2502:rw old
root getfacl -n old; stat -c %a old` + everybody(tryFile) + `
root chmod g=r old; getfacl -n old` + everybody(tryFile) + `
root chmod 600 old; getfacl -n old` + everybody(tryFile) + `
root chmod 4770 old; getfacl -n old; stat -c %a old` + everybody(tryFile) + `
root setfacl -m m::r old; getfacl -n old; stat -c %a old
root setfacl -m u:2002:rw old; getfacl -n old
root setfacl -n -m u:2002:rwx,m::w old; getfacl -n old` + everybody(tryFile) + `
root setfacl -x m old; getfacl -n old
root chmod 2770 olddir; setfacl -m u:2001:rwx,d:u:2001:rwx olddir; chmod g-w olddir; getfacl -n olddir; stat -c %a olddir` + everybody(tryDir)},

	{"inherited", `
root setfacl -m d:u:2001:rwx,d:g:2502:r-x,d:m::rwx,d:o::- olddir
root umask 077; echo x >olddir/file; mkdir olddir/dir; mkfifo olddir/fifo; mknod olddir/node c 1 3; ln -s x olddir/link; install -m 700 old olddir/tool
root mkdir -p olddir/a/b/c; echo x >olddir/a/b/c/deep
root mkdir -m 700 olddir/closed; echo x >olddir/closed/f
root cp old olddir/copy; cp -r olddir/a olddir/a2; mv old olddir/moved; cp olddir/moved old
root all olddir/a olddir/closed; stat -c '%n %a' olddir/*
alice cat olddir/file; echo y >>olddir/file; cat olddir/a/b/c/deep; cat olddir/closed/f; cat olddir/moved
alice ls olddir; ls olddir/dir; echo x >olddir/dir/alices
carol cat olddir/file; echo z >>olddir/file; cat olddir/dir/alices
dave cat olddir/file; ls olddir/dir
root setfacl -k olddir; echo x >olddir/later; mkdir olddir/laterdir; stat -c '%n %a' olddir/later olddir/laterdir`},

	{"umask and default lists", `
root chmod 777 . olddir; mkdir none; chmod 777 none; setfacl -d -m u::rwx,g::rwx,o::rx olddir
alice umask 077; echo x >olddir/f1; mkdir olddir/d1; mkfifo olddir/p1; echo x >none/f1; mkdir none/d1; mkfifo none/p1
alice umask 0; echo x >olddir/f2; mkdir olddir/d2; echo x >none/f2; mkdir none/d2
root stat -c '%n %a %u:%g' olddir/* none/*
root setfacl -d -m u:2002:rw,m::r olddir
alice umask 027; echo x >olddir/f3; mkdir olddir/d3; mkdir -m 750 olddir/d4
root getfacl -n olddir/f3 olddir/d3 olddir/d4; stat -c '%n %a' olddir/*
bob echo y >>olddir/f3; cat olddir/f3`},

	{"a shared directory", `
root chown 0:2502 olddir; chmod 2770 olddir; setfacl -m u:2004:rwx,d:u:2004:rwx,d:g:2502:rwx,d:o::- olddir
alice echo mine >olddir/alices; mkdir olddir/adir; stat -c '%n %a %u:%g' olddir/*
carol echo too >>olddir/alices; echo x >olddir/adir/carols; cat olddir/alices
dave cat olddir/alices olddir/adir/carols; echo x >olddir/daves; rm olddir/alices
bob cat olddir/daves; ls olddir; echo x >olddir/bobs
alice chmod g+s olddir/daves; setfacl -m u:2002:rw olddir/daves; setfacl -m u:2002:rwx olddir/adir
bob ls olddir/adir
root setfacl -m u:2002:x olddir
bob ls olddir/adir; ls olddir; cat olddir/adir/carols
root all olddir; stat -c '%n %a %u:%g' olddir/*`},

	{"who may change a list", `
root chown 2001:2501 old olddir
bob setfacl -m u:2002:rw old; setfacl -d -m u:2002:rw olddir; setfacl -b old
alice setfacl -m u:2002:rw old; setfacl -d -m u:2002:rwx olddir; getfacl -n old olddir
bob echo x >>old; setfacl -b old; getfacl -n old
root setfacl -m u:2002:rwx olddir
bob setfacl -m u:2004:rwx olddir; echo x >olddir/bobs; setfacl -m u:2001:- olddir/bobs; getfacl -n olddir/bobs
alice cat olddir/bobs; setfacl -b olddir/bobs; rm -f olddir/bobs
alice setfacl -b olddir; setfacl -k olddir; getfacl -n olddir
bob cat olddir/bobs; ls olddir`},

	{"rename, link and copy", `
root setfacl -m u:2001:rw,g:2504:r old; mkdir to; setfacl -m d:u:2002:rwx to; mkdir sub; setfacl -m u:2001:-,d:u:2001:r sub
root mv old to/old; getfacl -n to/old
root ln to/old old; setfacl -m u:2004:r old; getfacl -n to/old
root cp old plain; cp -p old kept; cp -a old archived; cp -p old to/kept; cp old to/plain; getfacl -n plain kept archived to/kept to/plain
root mv sub to/sub; getfacl -n to/sub; mkdir to/sub/new; getfacl -n to/sub/new
root cp -a to/sub sub2; getfacl -n sub2
root setfacl -m u:2003:r olddir/f; mv olddir to/; getfacl -n to/olddir/f; mv to/olddir/f to/old; getfacl -n to/old old
root tar --acls -cf t.tar to && mkdir out && tar --acls -xpf t.tar -C out && all out; rm t.tar
alice cat old; echo x >>old; cat to/sub/x; ls to/sub`},

	{"removed", `
root setfacl -m u:2001:rwx,u:2002:rx,g:2502:w old; setfacl -m u:2001:rwx,d:u:2001:rwx,d:g:2502:r olddir
root setfacl -x u:2001 old; getfacl -n old; stat -c %a old
root setfacl -b old; getfacl -n old; stat -c %a old
root setfacl -k olddir; getfacl -n olddir
root setfacl -b olddir; getfacl -n olddir; stat -c %a olddir
root setfacl -x u:2001 old; setfacl -b old; getfattr -m - old olddir
alice cat old; echo x >>old`},

	{"below a directory", `
root mkdir -p olddir/x/y; echo x >olddir/x/y/z; chmod -R a+rwX olddir
root setfacl -m u:2001:- olddir
alice cat olddir/f; cat olddir/x/y/z; ls olddir/x; echo x >olddir/x/new; cd olddir
bob cat olddir/x/y/z
root setfacl -m u:2001:x olddir; setfacl -m u:2001:- olddir/x
alice cat olddir/f; ls olddir; cat olddir/x/y/z
root setfacl -R -m u:2001:rwX,d:u:2001:rwX olddir; all olddir
alice cat olddir/f olddir/x/y/z; echo x >olddir/x/new; rm olddir/f; mv olddir/x/y olddir/y
bob rm -rf olddir/x; ls olddir`},

	{"execution", `
root printf '#!/bin/sh\necho ran\n' >old; chmod 700 old; setfacl -m u:2001:rx,g:2504:r old
alice ./old
bob ./old
carol ./old; sh old
root setfacl -m m::r old
alice ./old; sh old`},

	{"many entries", `
root for i in $(seq 3000 3030); do echo u:$i:rwx; echo g:$i:r; done >list; setfacl -M list old; getfacl -n old | md5sum; stat -c %a old
root for i in $(seq 3000 3400); do echo u:$i:rwx; done >list; setfacl -M list olddir; getfacl -n olddir | md5sum
root rm list
alice cat old`},

	{"saved and restored", `
root setfacl -m u:2001:rwx,m::r old; setfacl -m g:2502:x,d:g:2502:rw olddir; chown 2003:2503 olddir/f; chmod 4640 olddir/f
root getfacl -R -n . >../saved; setfacl -R -b .; chown -R 0:0 .; chmod -R 700 .
root setfacl --restore=../saved; rm ../saved; all old olddir
root getfacl -n old | setfacl --set-file=- olddir/f; getfacl -n olddir/f
root setfacl -d -m u:2001:r old; setfacl -m u:2001:r no; ln -s old l; setfacl -P -m u:2001:r l; setfacl -m u:2004:r l; getfacl -n l`},
}
