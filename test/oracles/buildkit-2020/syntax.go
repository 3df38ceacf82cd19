package main

import (
	"bufio"
	"bytes"
	"regexp"
	"strings"
)

// As in the builder of then, of whose package the rest can't be had: the first lines that are comments of this form.
var directive = regexp.MustCompile(`^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`)

func syntaxOf(text []byte) (string, bool) {
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		match := directive.FindStringSubmatch(lines.Text())
		if len(match) == 0 {
			break
		}
		values[strings.ToLower(match[1])] = match[2]
	}
	value, ok := values["syntax"]
	return strings.SplitN(value, " ", 2)[0], ok
}
