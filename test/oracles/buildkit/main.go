// Says of Dockerfiles what the newest BuildKit would get from elsewhere for them.
package main

import (
	"builder"
	"bytes"
	"context"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

func main() {
	builder.Answer(read, normalised)
}

// read lets the builder's own conversion run, for each stage as if it were the wanted one, with a registry that has every
// image: what it asks for, and what stands in its result, is what it would use.
func read(text []byte, things builder.Found) (bool, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	if err != nil {
		return false, err
	}
	if ref, _, _, ok := parser.DetectSyntax(text); ok {
		things.Images["syntax "+normalised(ref)] = true
	}
	targets := map[string]bool{"": true}
	for _, stage := range stages {
		targets[stage.Name] = true
	}
	all := pb.Caps.CapSet(pb.Caps.All())
	var last error
	for target := range targets {
		registry := &everything{things: things}
		state, err := dockerfile2llb.Dockerfile2LLB(context.Background(), text, dockerfile2llb.ConvertOpt{
			MetaResolver: registry,
			Config:       dockerui.Config{Target: target},
			AllStages:    true,
			LLBCaps:      &all,
		})
		if err != nil {
			last = err
			continue
		}
		definition, err := state.State.Marshal(context.Background())
		if err != nil {
			last = err
			continue
		}
		for _, raw := range definition.Def {
			var op pb.Op
			if op.UnmarshalVT(raw) != nil || op.GetSource() == nil {
				continue
			}
			identifier := op.GetSource().Identifier
			if image, ok := strings.CutPrefix(identifier, "docker-image://"); ok {
				things.Images[normalised(image)] = true
			} else if !strings.HasPrefix(identifier, "local://") {
				things.Remotes[identifier] = true
			}
		}
	}
	return true, last
}

type everything struct {
	mutex  sync.Mutex
	things builder.Found
}

const config = `{"architecture":"amd64","os":"linux","config":{"Env":["FROM_IMAGE=image"]},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}`

func (e *everything) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.things.Images[normalised(ref)] = true
	return ref, "", []byte(config), nil
}

func normalised(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "invalid " + image
	}
	return reference.TagNameOnly(named).String()
}
