package daemon

import (
	"reflect"
	"testing"
)

func TestFstabIsReadLikeGetmntent(t *testing.T) {
	const text = `# /dev/sda1 / ext4 defaults 0 1

/srv/fa\040st	/srv/docs   fuse.tierfs fallback=/srv/slow,demote=90d 0 0
  # comment
/dev/sda1 / ext4
UUID=1 none swap sw`
	want := []FstabLine{
		{"/srv/fa st", "/srv/docs", "fuse.tierfs", "fallback=/srv/slow,demote=90d"},
		{"UUID=1", "none", "swap", "sw"},
	}
	if got := parseFstab(text); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
