module github.com/tierfs/tierfs

go 1.26.0

require (
	github.com/jacobsa/fuse v0.0.0-20260630194014-a124548f6da7
	golang.org/x/sys v0.49.0
)

require github.com/hanwen/go-fuse/v2 v2.12.1 // indirect
