// Package streamtask is the streamtask SDK for Go.
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
// The standard Go compiler builds it:
//
//	GOOS=wasip1 GOARCH=wasm go build -o tasks/demo/greet.wasm .
//
// # How a task ends
//
//   - It returns no error: the value is stored as the run's result.
//   - It returns an error: the attempt failed. [Fail] creates an error with more information:
//     a code for programs, details, whether another attempt could help.
//   - It panics: the attempt failed, and the trace is in the log.
//   - It is cancelled: [Context.Sleep] returns early, and the context is done. If a task
//     ignores this, the host stops it after a grace period.
//
// # Waiting
//
// A guest has one thread. A call to the host that waits ([Context.Sleep],
// [Context.ReceiveSignal], [Context.WaitAny], HTTP) blocks all goroutines of the task until
// it returns. A wait in Go itself ([time.Sleep], channels, timers) blocks only the waiting
// goroutine. In both cases, a waiting task occupies no thread of the host.
//
// # Printing
//
// A task communicates with the host over standard output, so [Run] replaces it by standard
// error. Output to either of them is in the log of the run.
//
// # HTTP
//
// Import the package taskhttp for its side effect, and [net/http] works. It is a separate
// package, because net/http doubles the size of the file.
//
// # Tests
//
// A task is a function. Package streamtasktest has a host that records events. Its clock
// only advances when the task sleeps.
package streamtask
