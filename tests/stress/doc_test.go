// Package stress has tens of processes work in one mount at once and compares
// what is left with what each of them knows that it did.
package stress
