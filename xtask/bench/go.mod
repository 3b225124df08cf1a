module github.com/syncline/syncline/bench

go 1.21
