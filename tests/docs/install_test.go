package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// made runs make in the source tree, for a place of the test's own.
func made(t *testing.T, dest, target string) {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("needs make")
	}
	cmd := exec.Command("make", "-s", "-C", "../..", target, "DESTDIR="+dest)
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, out)
	}
}

// below are the files under a directory.
func below(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(at, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	bashFile = "/usr/local/share/bash-completion/completions/tierfs"
	zshFile  = "/usr/local/share/zsh/site-functions/_tierfs"
	fishFile = "/usr/local/share/fish/vendor_completions.d/tierfs.fish"
)

func TestUninstallRemovesWhatInstallPutThere(t *testing.T) {
	dest := t.TempDir()
	made(t, dest, "install")
	want := []string{
		"/usr/local/bin/tierfs", "/usr/local/lib/systemd/system-generators/tierfs-generator", bashFile, fishFile,
		"/usr/local/share/man/man7/tierfs.7", "/usr/local/share/man/man8/mount.fuse.tierfs.8", "/usr/local/share/man/man8/mount.tierfs.8", "/usr/local/share/man/man8/tierfs.8",
		zshFile, "/usr/sbin/mount.fuse.tierfs", "/usr/sbin/mount.tierfs",
	}
	if got := below(t, dest); !slices.Equal(got, want) {
		t.Errorf("installed %q, want %q", got, want)
	}
	made(t, dest, "uninstall")
	if got := below(t, dest); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

// Each shell completes by the file that was installed, as it would find it.
func TestShellsComplete(t *testing.T) {
	dest := t.TempDir()
	made(t, dest, "install")
	for shell, script := range map[string]string{
		"bash": `. "$DEST` + bashFile + `"
			for line in "tierfs dem" "tierfs plan --a" "tierfs completion f"; do
				COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tierfs; echo "[$line: ${COMPREPLY[*]}]"
			done`,
		"fish": `set -p fish_complete_path "$DEST` + filepath.Dir(fishFile) + `"
			for line in "tierfs dem" "tierfs plan --a" "tierfs completion f"
				echo "[$line: "(complete -C $line | string replace -r '\t.*' '')"]"
			end`,
		"zsh": onZpty,
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("needs %s", shell)
			}
			no := map[string]string{"bash": "--norc", "fish": "--no-config", "zsh": "-f"}[shell]
			cmd := exec.Command(path, no, "-c", script)
			cmd.Env = append(os.Environ(), "DEST="+dest, "ZSHDIR="+dest+filepath.Dir(zshFile), "HOME="+t.TempDir(), "TERM=dumb",
				"PATH="+dest+"/usr/local/bin:"+os.Getenv("PATH")) // fish completes what can be run
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"[tierfs dem: demote]", "[tierfs plan --a: --all]", "[tierfs completion f: fish]"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %s in\n%q", want, out)
				}
			}
		})
	}
}

// onZpty types into a zsh on a terminal, for zsh completes nowhere else. Control-T
// shows what has come of the line, and takes it away.
const onZpty = `zmodload zsh/zpty
zpty inner zsh -f -i
zpty -w inner 'fpath=("$ZSHDIR" $fpath); autoload -Uz compinit; compinit -u -D
show() { print -r "<$BUFFER>"; BUFFER= }; zle -N show; bindkey "^T" show; print ready$((1 + 1))'
zpty -r -m inner text '*ready2*'
for line in 'tierfs dem' 'tierfs plan --a' 'tierfs completion f'; do
	zpty -w -n inner "$line"$'\t\x14'
	zpty -r -m inner text '*<tierfs *>*'
	whole=${${text##*<}%%>*}
	print -r "[$line: ${${(z)whole}[-1]}]"
done
zpty -d inner
`
