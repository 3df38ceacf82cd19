// What docker itself makes of ignore files: for each line of JSON on stdin, {"text": the file, "paths": [...]}, one line
// with what moby/patternmatcher says of each path, and which of them fsutil, BuildKit's sender, finds in a directory.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	gofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
)

type question struct {
	Text  string   `json:"text"`
	Paths []string `json:"paths"`
}

type answer struct {
	Error   string `json:"error,omitempty"`
	Ignored []bool `json:"ignored"`
	Sent    []bool `json:"sent"`
}

func main() {
	// Tens of thousands of small trees: in memory, where the machine has such a place.
	memory := "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		memory = ""
	}
	root, err := os.MkdirTemp(memory, "mypaas-ignore-")
	must(err)
	defer os.RemoveAll(root)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		var asked question
		must(json.Unmarshal(lines.Bytes(), &asked))
		line, err := json.Marshal(ask(asked, root))
		must(err)
		out.Write(append(line, '\n'))
	}
	must(lines.Err())
}

func ask(asked question, root string) answer {
	patterns, err := ignorefile.ReadAll(strings.NewReader(asked.Text))
	if err != nil {
		return answer{Error: err.Error()}
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return answer{Error: err.Error()}
	}
	result := answer{Ignored: []bool{}, Sent: []bool{}}
	for _, path := range asked.Paths {
		ignored, err := judge(matcher, path)
		if err != nil {
			return answer{Error: err.Error()}
		}
		result.Ignored = append(result.Ignored, ignored)
	}
	sent, err := walk(asked, patterns, root)
	if err != nil {
		return answer{Error: err.Error()}
	}
	for _, path := range asked.Paths {
		result.Sent = append(result.Sent, sent[path])
	}
	return result
}

// judge asks directory by directory, as both builders' senders do.
func judge(matcher *patternmatcher.PatternMatcher, path string) (bool, error) {
	info := patternmatcher.MatchInfo{}
	ignored := false
	parts := strings.Split(path, "/")
	for i := range parts {
		var err error
		ignored, info, err = matcher.MatchesUsingParentResults(strings.Join(parts[:i+1], "/"), info)
		if err != nil {
			return false, err
		}
	}
	return ignored, nil
}

func walk(asked question, patterns []string, root string) (map[string]bool, error) {
	folder, err := os.MkdirTemp(root, "")
	must(err)
	defer os.RemoveAll(folder)
	for _, path := range asked.Paths {
		must(os.MkdirAll(filepath.Join(folder, filepath.Dir(path)), 0o755))
		must(os.WriteFile(filepath.Join(folder, path), nil, 0o644))
	}
	all, err := fsutil.NewFS(folder)
	must(err)
	filtered, err := fsutil.NewFilterFS(all, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		return nil, err
	}
	sent := map[string]bool{}
	err = filtered.Walk(context.Background(), "", func(path string, _ gofs.DirEntry, err error) error {
		if err == nil {
			sent[path] = true
		}
		return err
	})
	return sent, err
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
