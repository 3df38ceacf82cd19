module builder-words

go 1.24
