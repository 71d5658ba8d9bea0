# tierfs: make builds bin/mount.tierfs, `make help` lists the rest.

# PREFIX takes the command, the man pages and what shells complete it by. SBINDIR does not follow it: mount(8)
# looks for its helpers in /sbin alone, which is /usr/sbin on a merged system.
PREFIX  ?= /usr/local
SBINDIR ?= /usr/sbin
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
# systemd looks for generators there under /usr/local as well.
GENERATORDIR ?= $(PREFIX)/lib/systemd/system-generators

GO       ?= go
FUZZTIME ?= 30s
SOAKTIME ?= 10m

# Outside a git checkout the newest release that CHANGELOG.md names is the version.
ifndef VERSION
VERSION := $(shell git describe --tags --match 'v*' --dirty=+ 2>/dev/null || \
	sed -n 's/^\#\# \([0-9][^ ]*\).*/v\1/p' CHANGELOG.md | head -n 1)
endif

# The binary depends on the source, the Go release and VERSION alone: no paths,
# no C library, and no time, so SOURCE_DATE_EPOCH has nothing left to date. The
# version is ours to give: Go's own look at git fails in a checkout that belongs
# to another user, such as one that root tests. Packages say STRIP='-s -w', which
# leaves out what only debuggers read.
export GOFLAGS := $(GOFLAGS) -buildvcs=false
LDFLAGS := $(STRIP) -X main.version=$(VERSION)

MANPAGES := $(wildcard man/*.[1-8])

.DEFAULT_GOAL := build
.PHONY: build test system lint race soak bench bench-quick bench-scale bench-move fuzz man dist deb rpm completion install uninstall demo clean help

build: ## build bin/mount.tierfs and its second name bin/tierfs (the default)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/mount.tierfs ./mount.tierfs
	@ln -sf mount.tierfs bin/tierfs

test: export TIERFS_SKIPLOG := $(CURDIR)/bin/not-shown
test: build ## install what the tests need (as root), lint, run every test
	@tests/requirements.sh
	@: >$(TIERFS_SKIPLOG)
	@tests/lint.sh
	@TIERFS_BIN=bin/mount.tierfs tests/run.sh

system: build deb rpm ## the packages in fresh Debian systems, booted on this kernel, on 6.1 and 6.12 and on arm64; README and cookbook as they are written (as root; NAMES="deb-trixie rpm")
	@tests/requirements.sh system
	@tests/system/run.sh $(NAMES)

lint: ## gofmt, vet, staticcheck, govulncheck, shellcheck, mandoc
	@tests/lint.sh

race: ## run every test against a daemon that looks for races and broken invariants
	CGO_ENABLED=1 $(GO) build -race -tags invariants -o bin/race/mount.tierfs ./mount.tierfs
	@TIERFS_BIN=bin/race/mount.tierfs tests/run.sh

# How long the model is run, with new seeds each time.
TIERFS_MODEL ?= 1h

soak: build ## load for SOAKTIME (10m), a million files; moves killed, and cut off from power, for SOAKTIME each; every call's failure, and all else of which a test takes some; the model for TIERFS_MODEL (1h)
	@tests/requirements.sh
	TIERFS_SOAK=$(SOAKTIME) TIERFS_BIN=$(CURDIR)/bin/mount.tierfs $(GO) test ./tests/load -count=1 -v -timeout 3h
	TIERFS_SOAK=$(SOAKTIME) TIERFS_BIN=$(CURDIR)/bin/mount.tierfs $(GO) test ./tests/move -count=1 -v -timeout 3h
	TIERFS_SOAK=1 TIERFS_BIN=$(CURDIR)/bin/mount.tierfs $(GO) test -p 1 -count=1 -v -timeout 0 ./tests/faults ./tests/acl ./tests/union ./tests/life ./tests/coherent
	TIERFS_MODEL=$(TIERFS_MODEL) TIERFS_BIN=$(CURDIR)/bin/mount.tierfs $(GO) test ./tests/model -count=1 -v -timeout 0

bench: build ## measure the mount beside a native directory and its peers; half an hour, into bench/results.md and .svg
	@bench/run.sh -out bench

bench-quick: build ## the same with less of each and fewer peers, in under two minutes, into bin/
	@bench/run.sh -quick -out bin

bench-scale: build ## measure a million files: walk, lookups, memory, a big directory, open files, a demotion; into bench/scale.md
	@bench/run.sh -scale -out bench

bench-move: build ## measure how fast files move, beside rsync (LARGE=10240 SMALL=100000 ROUNDS=3)
	@bench/move.sh

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' internal | \
	while IFS=: read -r file _ name; do \
		echo "$${name#func } in $${file%/*}"; \
		$(GO) test "./$${file%/*}" -run '^$$' -fuzz "^$${name#func }\$$" -fuzztime $(FUZZTIME) || exit 1; \
	done

man: ## format the man pages as text into bin/man
	@mkdir -p bin/man
	@for page in $(MANPAGES); do mandoc -Tutf8 "$$page" >"bin/$$page.txt" && echo "bin/$$page.txt"; done

# Packages, of amd64 and arm64. What is dated in them bears the date of the last commit, or outside a git checkout
# that of the files.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
RELEASE := $(shell sed -n 's/^\#\# \([0-9][^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)

dist: ## pack the source into bin/tierfs-RELEASE.tar.gz
	@packaging/dist.sh $(RELEASE)

deb: dist ## build bin/deb/tierfs_*.deb from it, checked by lintian
	@tests/requirements.sh deb
	@packaging/deb.sh $(RELEASE)

rpm: dist ## build bin/rpm/tierfs-*.rpm from it, checked by rpmlint
	@tests/requirements.sh rpm
	@packaging/rpm.sh $(RELEASE)

bin/mount.tierfs:
	@$(MAKE) build

# The completions are what the command prints. A command that was built for another machine cannot run here, so then
# one for this machine is built beside it.
foreign = $(filter-out $(shell $(GO) env GOHOSTOS)/$(shell $(GO) env GOHOSTARCH),$(shell $(GO) env GOOS)/$(shell $(GO) env GOARCH))
completion: bin/mount.tierfs
	$(if $(foreign),@GOOS= GOARCH= CGO_ENABLED=0 $(GO) build -trimpath -o bin/completion/tierfs ./mount.tierfs,@mkdir -p bin/completion && ln -sf ../mount.tierfs bin/completion/tierfs)
	@for shell in bash zsh fish; do bin/completion/tierfs completion $$shell >bin/completion/$$shell || exit 1; done

install: completion ## install under DESTDIR (PREFIX, SBINDIR, BINDIR, MANDIR, BASHDIR, ZSHDIR, FISHDIR, GENERATORDIR) what was built
	install -D -m 0755 bin/mount.tierfs $(DESTDIR)$(SBINDIR)/mount.tierfs
	ln -sf mount.tierfs $(DESTDIR)$(SBINDIR)/mount.fuse.tierfs
	install -d $(DESTDIR)$(BINDIR)
	ln -sfr $(DESTDIR)$(SBINDIR)/mount.tierfs $(DESTDIR)$(BINDIR)/tierfs
	install -d $(DESTDIR)$(GENERATORDIR)
	ln -sfr $(DESTDIR)$(SBINDIR)/mount.tierfs $(DESTDIR)$(GENERATORDIR)/tierfs-generator
	for page in $(MANPAGES); do \
		install -D -m 0644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}" || exit 1; \
	done
	ln -sf mount.tierfs.8 $(DESTDIR)$(MANDIR)/man8/mount.fuse.tierfs.8
	install -D -m 0644 bin/completion/bash $(DESTDIR)$(BASHDIR)/tierfs
	install -D -m 0644 bin/completion/zsh $(DESTDIR)$(ZSHDIR)/_tierfs
	install -D -m 0644 bin/completion/fish $(DESTDIR)$(FISHDIR)/tierfs.fish

uninstall: ## remove what install put there; mounts that are up stay up
	rm -f $(DESTDIR)$(SBINDIR)/mount.tierfs $(DESTDIR)$(SBINDIR)/mount.fuse.tierfs $(DESTDIR)$(BINDIR)/tierfs
	for page in $(MANPAGES); do \
		rm -f "$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}"; \
	done
	rm -f $(DESTDIR)$(MANDIR)/man8/mount.fuse.tierfs.8 $(DESTDIR)$(GENERATORDIR)/tierfs-generator
	rm -f $(DESTDIR)$(BASHDIR)/tierfs $(DESTDIR)$(ZSHDIR)/_tierfs $(DESTDIR)$(FISHDIR)/tierfs.fish

demo: build ## show a mount of two directories, with the commands (as root)
	@tests/requirements.sh demo
	@tests/demo.sh

clean: ## remove what was built
	rm -rf bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
