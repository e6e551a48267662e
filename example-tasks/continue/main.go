// A task that works in steps, and waits for a signal before each next one.
package main

import (
	"encoding/json"
	"errors"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
)

// Input is the input of a run.
type Input struct {
	Steps int `json:"steps"`
	// TimeoutMS is the timeout of a step's wait; 0 means none.
	TimeoutMS int64 `json:"timeout_ms"`
}

// Validate is called before the task.
func (in *Input) Validate() error {
	if in.Steps < 0 || in.Steps > 1000 || in.TimeoutMS < 0 {
		return errors.New("steps has to be from 0 to 1000, and timeout_ms not negative")
	}
	return nil
}

// Output is the result of a run.
type Output struct {
	Steps int `json:"steps"`
	// Answers are the payloads of the signals.
	Answers []json.RawMessage `json:"answers"`
}

type waiting struct {
	Step int    `json:"step"`
	For  string `json:"for"`
}

type continued struct {
	Step int             `json:"step"`
	With json.RawMessage `json:"with"`
}

func main() { streamtask.Run(steps) }

func steps(ctx *streamtask.Context, in Input) (Output, error) {
	out := Output{Answers: []json.RawMessage{}}
	for step := 1; step <= in.Steps; step++ {
		if step > 1 {
			answer, err := wait(ctx, step, in)
			if err != nil {
				return out, err
			}
			out.Answers = append(out.Answers, answer)
		}
		if err := ctx.Progress(streamtask.Step(step).Total(in.Steps)); err != nil {
			return out, err
		}
		out.Steps = step
	}
	return out, nil
}

// wait sends `waiting`, then `continued` with the payload of the received signal.
func wait(ctx *streamtask.Context, step int, in Input) (json.RawMessage, error) {
	if err := ctx.Send("waiting", waiting{step, "continue"}); err != nil {
		return nil, err
	}
	limit := streamtask.Forever
	if in.TimeoutMS > 0 {
		limit = time.Duration(in.TimeoutMS) * time.Millisecond
	}
	signal, err := ctx.ReceiveSignal("continue", limit)
	if err != nil {
		return nil, err
	}
	if signal == nil {
		return nil, streamtask.Fail("no-answer", "nobody let step %d begin within %s", step, limit)
	}
	return signal.Payload, ctx.Send("continued", continued{step, signal.Payload})
}
