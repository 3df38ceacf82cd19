// Package builder is what the programs beside it share: they say of Dockerfiles what a builder reads in them.
//
// Standard input: a line for each file, {"dockerfile": base64, "images": [what the reader of ours saw]}. Standard output:
// a line for each, {"parses": …, "images": all that the builder would resolve, "missed": those that are not among the
// seen, "remotes": sources of ADD that it would fetch}.
package builder

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sort"
)

type question struct {
	Dockerfile string   `json:"dockerfile"`
	Images     []string `json:"images"`
}

type answer struct {
	Parses  bool     `json:"parses"`
	Images  []string `json:"images"`
	Missed  []string `json:"missed"`
	Remotes []string `json:"remotes"`
	Error   string   `json:"error,omitempty"`
	Panic   string   `json:"panic,omitempty"`
}

// Found collects what a builder would get from elsewhere.
type Found struct {
	Images  map[string]bool
	Remotes map[string]bool
}

// Answer answers all that is asked: read is the builder, which says whether a file parses; normalised is how it spells
// the name of an image.
func Answer(read func(text []byte, things Found) (bool, error), normalised func(image string) string) {
	decoder := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for {
		var asked question
		err := decoder.Decode(&asked)
		if err == io.EOF {
			return
		}
		if err == nil {
			var text []byte
			if text, err = base64.StdEncoding.DecodeString(asked.Dockerfile); err == nil {
				encoder.Encode(answerFor(text, asked.Images, read, normalised))
				err = out.Flush()
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func answerFor(
	text []byte,
	seen []string,
	read func(text []byte, things Found) (bool, error),
	normalised func(image string) string,
) (given answer) {
	defer func() {
		if r := recover(); r != nil {
			given = answer{Panic: fmt.Sprintf("%v %s", r, debug.Stack())}
		}
	}()
	things := Found{Images: map[string]bool{}, Remotes: map[string]bool{}}
	parses, err := read(text, things)
	known := map[string]bool{}
	for _, image := range seen {
		known[normalised(image)] = true
	}
	given.Parses = parses
	if err != nil {
		given.Error = err.Error()
	}
	for image := range things.Images {
		given.Images = append(given.Images, image)
		if !known[image] {
			given.Missed = append(given.Missed, image)
		}
	}
	for remote := range things.Remotes {
		given.Remotes = append(given.Remotes, remote)
	}
	sort.Strings(given.Images)
	sort.Strings(given.Missed)
	sort.Strings(given.Remotes)
	return given
}
