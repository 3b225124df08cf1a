module github.com/syncline/syncline/demo

go 1.21
