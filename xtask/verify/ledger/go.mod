module github.com/syncline/syncline/verify/ledger

go 1.21
