module builder

go 1.17
