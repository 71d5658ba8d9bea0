// Package sys holds every raw system call of tierfs and its only uses of unsafe.
//
// Names keep the spelling of the system call. Errors are bare errnos
// (unix.Errno), because most of them travel on to the kernel unchanged.
package sys
