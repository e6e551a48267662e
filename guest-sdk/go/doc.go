// Package streamtask is for writing streamtask tasks in Go.
//
// A task is a program whose main function calls [Run]:
//
//	package main
//
//	import (
//		"time"
//
//		streamtask "github.com/streamtask/streamtask/guest-sdk/go"
//	)
//
//	type Input struct {
//		Names []string `json:"names"`
//	}
//
//	type Output struct {
//		Greeted int `json:"greeted"`
//	}
//
//	func main() { streamtask.Run(greet) }
//
//	// greet greets everyone, one a second.
//	func greet(ctx *streamtask.Context, in Input) (Output, error) {
//		for i, name := range in.Names {
//			if err := ctx.Send("greeting", "Hello, "+name+"!"); err != nil {
//				return Output{}, err
//			}
//			if err := ctx.Progress(streamtask.Step(i + 1).Total(len(in.Names)).Message(name)); err != nil {
//				return Output{}, err
//			}
//			if err := ctx.Sleep(time.Second); err != nil {
//				return Output{}, err
//			}
//		}
//		return Output{Greeted: len(in.Names)}, nil
//	}
//
// It is built by the Go that everyone has:
//
//	GOOS=wasip1 GOARCH=wasm go build -o tasks/demo/greet.wasm .
//
// # How a task ends
//
//   - It returns no error: the value is kept with the run as its result.
//   - It returns an error: the attempt failed. [Fail] makes one that says more: a code for
//     programs, details, whether another attempt could help.
//   - It panics: the attempt failed, the trace is in the log.
//   - It is cancelled: [Context.Sleep] returns early, the context is done. A task that
//     ignores this is stopped by the host after a grace time.
//
// # Waiting
//
// A guest has one thread. A call to the host that waits ([Context.Sleep],
// [Context.ReceiveSignal], [Context.WaitAny], HTTP) holds all goroutines of the task until
// it returns. What Go waits for itself ([time.Sleep], channels, timers) holds only the
// goroutine that waits. Either way a task that waits costs the host no thread.
//
// # Printing
//
// Standard output is how a task speaks with the host, so [Run] puts standard error in its
// place: what a task prints, to either, is in the log of the run.
//
// # HTTP
//
// Import the package taskhttp for its effect, and [net/http] works. It is a package of its
// own because net/http makes the file twice as large.
//
// # Tests
//
// A task is a function. Package streamtasktest has a host that remembers, and whose clock
// stands still but for what the task sleeps.
package streamtask
