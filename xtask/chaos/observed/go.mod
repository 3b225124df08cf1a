module example.com/syncline/chaos

go 1.21
