// Package start lets other packages of the SDK take part in the start of a task.
package start

// Hooks are called by Run with its *streamtask.Context, before the task.
var Hooks []func(ctx any)
