module builder-words

go 1.17
