// Package start lets other packages of the SDK register hooks for the start of a task.
package start

// Run calls Hooks with its *streamtask.Context before the task.
var Hooks []func(ctx any)
