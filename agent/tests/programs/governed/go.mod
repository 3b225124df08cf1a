module example.com/governed

go 1.21
