module github.com/syncline/syncline/symbols/library

go 1.21

require github.com/syncline/syncline/symbols/walk v0.0.0

replace github.com/syncline/syncline/symbols/walk => ../walk
