module github.com/syncline/syncline/truth/program

go 1.21
