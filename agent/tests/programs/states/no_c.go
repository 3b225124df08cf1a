//go:build !cgo

package main

var inC, calledBack, onThread func()
