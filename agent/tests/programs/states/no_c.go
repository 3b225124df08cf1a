//go:build !cgo

package main

var inC func()
