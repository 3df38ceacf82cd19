// Says of Dockerfiles what the BuildKit of dockerd 20.10 would get from elsewhere for them.
package main

import (
	"builder"
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/docker/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

func main() {
	builder.Answer(read, normalised)
}

// read takes the builder's parser, instructions and variables. Its conversion itself needs packages that can't be had in
// the versions of then, so what it does with names is done here: those that are no stage are images.
func read(text []byte, things builder.Found) (bool, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	stages, args, err := instructions.Parse(parsed.AST)
	if err != nil {
		return false, err
	}
	if ref, ok := syntaxOf(text); ok {
		things.Images["syntax "+normalised(ref)] = true
	}
	shlex := shell.NewLex(parsed.EscapeToken)
	// It gives values to these itself.
	values := map[string]string{}
	for _, name := range []string{"BUILDPLATFORM", "TARGETPLATFORM"} {
		values[name] = "linux/amd64"
	}
	for _, name := range []string{"BUILDOS", "TARGETOS"} {
		values[name] = "linux"
	}
	for _, name := range []string{"BUILDARCH", "TARGETARCH"} {
		values[name] = "amd64"
	}
	for _, command := range args {
		for _, arg := range command.Args {
			value := ""
			if arg.Value != nil {
				value, _ = shlex.ProcessWordWithMap(*arg.Value, values)
			}
			values[arg.Key] = value
		}
	}
	names := map[string]bool{"scratch": true}
	for i := range stages {
		base, err := shlex.ProcessWordWithMap(stages[i].BaseName, values)
		if err != nil {
			return true, err
		}
		if base == "" {
			return true, errors.New("base name should not be blank")
		}
		if !names[base] {
			things.Images[normalised(base)] = true
		}
		if stages[i].Name != "" {
			names[strings.ToLower(stages[i].Name)] = true
		}
	}
	image := func(name string) {
		if name != "" && !names[strings.ToLower(name)] {
			things.Images[normalised(name)] = true
		}
	}
	var look func(command instructions.Command)
	look = func(command instructions.Command) {
		switch c := command.(type) {
		case *instructions.CopyCommand:
			if _, err := strconv.Atoi(c.From); err != nil {
				image(c.From)
			}
		case *instructions.RunCommand:
			for _, mount := range instructions.GetMounts(c) {
				image(mount.From)
			}
		case *instructions.AddCommand:
			for _, source := range c.Sources() {
				if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
					things.Remotes[source] = true
				}
			}
		case *instructions.OnbuildCommand:
			// For those that build on it.
			trigger, err := parser.Parse(strings.NewReader(c.Expression))
			if err != nil || len(trigger.AST.Children) != 1 {
				return
			}
			if inner, err := instructions.ParseCommand(trigger.AST.Children[0]); err == nil {
				look(inner)
			}
		}
	}
	for _, stage := range stages {
		for _, command := range stage.Commands {
			look(command)
		}
	}
	return true, nil
}

func normalised(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "invalid " + image
	}
	return reference.TagNameOnly(named).String()
}
