//go:build !faultpoints

package tierfs

// atFault is told of each point of a move in unit tests.
var atFault func(point string)

// fault marks a point of a move, at which a test build may end the process, see
// fault_on.go.
func fault(point string) {
	if atFault != nil {
		atFault(point)
	}
}
