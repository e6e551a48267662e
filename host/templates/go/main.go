package main

import (
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
)

// Input is what a run is started with.
type Input struct {
	Names []string `json:"names"`
}

// Output is what it returns.
type Output struct {
	Greeted int `json:"greeted"`
}

func main() { streamtask.Run(greet) }

func greet(ctx *streamtask.Context, in Input) (Output, error) {
	for i, name := range in.Names {
		if err := ctx.Send("greeting", "Hello, "+name+"!"); err != nil {
			return Output{}, err
		}
		if err := ctx.Progress(streamtask.Step(i + 1).Total(len(in.Names)).Message(name)); err != nil {
			return Output{}, err
		}
		if err := ctx.Sleep(200 * time.Millisecond); err != nil {
			return Output{}, err
		}
	}
	return Output{Greeted: len(in.Names)}, nil
}
