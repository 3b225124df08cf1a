module example.com/tcp

go 1.21
