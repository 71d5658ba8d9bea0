package docs

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const commandPage = "../../man/tierfs.8"

// forms are the commands as tierfs help writes them: "status [--json] [MOUNT...]".
func forms(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command(binary(t))
	cmd.Args = []string{"tierfs", "help"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("tierfs help: %v\n%s", err, out)
	}
	_, list, _ := strings.Cut(string(out), "\ncommands:\n")
	var all []string
	for line := range strings.Lines(list) {
		if form, ok := strings.CutPrefix(line, "  tierfs "); ok {
			form, _, _ = strings.Cut(form, "  ") // the help is set apart
			name, _, _ := strings.Cut(form, " ")
			// What excludes another is a line of its own in the manual.
			for _, alternative := range strings.Split(form, " | ") {
				if !strings.HasPrefix(alternative, name) {
					alternative = name + " " + alternative
				}
				all = append(all, strings.TrimSpace(alternative))
			}
		}
	}
	return all
}

// synopsis are the commands as the manual page writes them, in the same way.
func synopsis(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(commandPage)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), ".Sh SYNOPSIS\n.Nm\n")
	section, _, _ = strings.Cut(section, ".Sh ")
	var all []string
	for _, command := range strings.Split(section, ".Nm\n") {
		var words []string
		for line := range strings.Lines(command) {
			words = append(words, spelled(strings.Fields(line)))
		}
		all = append(all, strings.Join(words, " "))
	}
	return all
}

// spelled is a line of the synopsis without its macros.
func spelled(words []string) string {
	var out []string
	upper := false
	for _, w := range words {
		switch w {
		case ".Cm", ".Op", "Op":
		case ".Fl", "Fl":
			upper = false
		case ".Ar", "Ar":
			upper = true
		default:
			if upper {
				w = strings.ToUpper(w)
			} else if w[0] == '-' {
				w = "-" + w
			}
			out = append(out, w)
		}
	}
	text := strings.ReplaceAll(strings.ReplaceAll(strings.Join(out, " "), " ...", "..."), " | ", "|")
	if slices.Contains(words, ".Op") {
		text = "[" + text + "]"
	}
	return text
}

func TestManualPageHasEveryCommand(t *testing.T) {
	help, page := forms(t), synopsis(t)
	if len(help) < 10 || !slices.Equal(help, page) {
		t.Errorf("tierfs help:\n  %s\n%s:\n  %s", strings.Join(help, "\n  "), commandPage, strings.Join(page, "\n  "))
	}
	text, err := os.ReadFile(commandPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range help {
		words := strings.FieldsFunc(form, func(r rune) bool { return strings.ContainsRune(" []", r) })
		if !strings.Contains(string(text), "\n.It Cm "+words[0]+"\n") {
			t.Errorf("%s: no item for %s", commandPage, words[0])
		}
		for _, w := range words[1:] {
			if flag, ok := strings.CutPrefix(w, "--"); ok && !strings.Contains(string(text), "\n.It Fl -"+flag) {
				t.Errorf("%s: no item for --%s", commandPage, flag)
			}
		}
	}
}

func TestCommandsShowTheirUsage(t *testing.T) {
	for _, form := range forms(t) {
		name, _, _ := strings.Cut(form, " ")
		cmd := exec.Command(binary(t))
		cmd.Args = []string{"tierfs", name, "--help"}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "usage: tierfs "+name) {
			t.Errorf("tierfs %s --help: %v\n%s", name, err, out)
		}
	}
}

// completions are what a shell completes tierfs by.
func completions(t *testing.T, shell string) string {
	t.Helper()
	cmd := exec.Command(binary(t))
	cmd.Args = []string{"tierfs", "completion", shell}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A completion has every command and every flag of it.
func TestCompletionsHaveEveryCommand(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out := completions(t, shell)
		for _, form := range forms(t) {
			for i, w := range strings.FieldsFunc(form, func(r rune) bool { return strings.ContainsRune(" []", r) }) {
				if i > 0 && !strings.HasPrefix(w, "--") {
					continue
				}
				if w = strings.TrimPrefix(w, "--"); !strings.Contains(out, w) {
					t.Errorf("%s: no %s of %q", shell, w, form)
				}
			}
		}
	}
}
