module github.com/syncline/syncline/symbols/walk

go 1.21
