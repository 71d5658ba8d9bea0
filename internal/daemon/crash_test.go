package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func crashInDir() error {
	if _, err := OpenCrashFile(os.Getenv("DIR")); err != nil {
		return err
	}
	if os.Getenv("CALM") != "" {
		return nil
	}
	done := make(chan struct{})
	go func() { panic("inode 7 has lookup count -1") }()
	<-done
	return nil
}

func TestPanicIsReportedByTheNextDaemon(t *testing.T) {
	dir := t.TempDir()
	if out, err := child("crash", "DIR="+dir).CombinedOutput(); err == nil {
		t.Fatalf("the child lived: %s", out)
	}
	runChild(t, child("crash", "DIR="+dir, "CALM=1"))
	own, err := OpenCrashFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	// The PID of one that was killed may be another process's by now.
	if err := os.WriteFile(dir+"/1.crash", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 4 {
		t.Errorf("not the reports of four: %q", left)
	}
	SweepCrashFiles(dir)
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 2 {
		t.Errorf("not the report and the file in use: %q", left)
	}
	got := CrashReports(dir)
	if len(got) != 1 || !strings.Contains(got[0], "inode 7 has lookup count -1") || !strings.Contains(got[0], "goroutine") {
		t.Errorf("reports: %q", got)
	}
	own.Remove()
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	CrashFile{}.Remove()
}
