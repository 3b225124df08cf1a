package main

// static int twice(int n) { return 2 * n; }
import "C"

func cgoValue() int { return int(C.twice(21)) }
