// Package model runs random sequences of operations on a mount and on a model
// of the union rules, and compares the two after every step.
//
// The model is the specification in code: state_test.go is what there is (plain
// trees, one a tier), the files rule_*.go say what each family of operations
// does to it. It knows nothing of how the product does it. What is compared: at
// each step the errno and the data, and what the names of the step are now; at
// each "check" step everything, on the tiers and through the mount.
//
// A sequence that fails is cut down to a short one, which is printed as a
// program: a configuration and one step a line. To run one again:
//
//	TIERFS_MODEL_PROGRAM=/tmp/program go test ./tests/model
//
// TIERFS_MODEL=10m makes TestModel go on with new seeds for so long, and
// TIERFS_MODEL_OPTIONS=debug gives the mounts an option more.
//
// Not modelled: permissions of other users, ACLs and set-id bits (tests/callers
// and tests/parity have them), mmap, holes, access times, quotas, running out of
// space, failing tiers, and crashes.
package model
