module example.com/gosym/fixture

go 1.21
