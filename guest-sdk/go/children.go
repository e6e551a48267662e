package streamtask

import (
	"encoding/json"
	"fmt"
	"time"
)

// Child is a run that this one has started.
type Child struct {
	ctx *Context
	id  string
}

// ID returns the run's id.
func (c *Child) ID() string { return c.id }

// ChildOptions say how a child runs. The zero value is the usual.
type ChildOptions struct {
	// Key makes the child unique within this run: starting it again with the same key,
	// also in a later attempt, returns the same child.
	Key string `json:"key,omitempty"`
	// Detached children go on when this run has ended. Others are cancelled then.
	Detached bool `json:"detached,omitempty"`
	// Priority: higher goes first in the queue, from -100 to 100; nil is the task's own.
	Priority *int `json:"priority,omitempty"`
}

// StartChild starts a run of a task: "app/task", or the name alone for a task of the same
// app. The run is durable when this returns.
func (ctx *Context) StartChild(task string, input any, options ...ChildOptions) (*Child, error) {
	encoded, err := encode(input)
	if err != nil {
		return nil, &Error{InvalidArgument, "the child's input: " + err.Error()}
	}
	start := struct {
		Task  string          `json:"task"`
		Input json.RawMessage `json:"input"`
		ChildOptions
	}{Task: task, Input: encoded}
	for _, start.ChildOptions = range options {
	}
	id, err := callFor[string](ctx, "start-child", start)
	if err != nil {
		return nil, err
	}
	return &Child{ctx, id}, nil
}

// Outcome is how a child has ended.
type Outcome struct {
	// Status is Completed, Failed, or Cancelled.
	Status Status
	// Value is what it returned; of a cancelled child, in its grace time, or null.
	Value json.RawMessage
	// Failure is why it failed; nil if it did not.
	Failure *ChildError
}

// Cancelled is the status of a child that someone asked to end.
const Cancelled Status = "cancelled"

// ChildError is why a child failed.
type ChildError struct {
	// Kind is "failure" if its task returned one; else what ended it, such as "trap".
	Kind string `json:"kind"`
	// Message is one line for people.
	Message string `json:"message"`
	// Code is the task's own word.
	Code string `json:"code"`
	// Details is a JSON value, or empty.
	Details json.RawMessage `json:"details"`
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("a child failed (%s): %s", e.Kind, e.Message)
}

// Decode reads the value of a child that has completed into what v points to. Any other end
// is an error.
func (o *Outcome) Decode(v any) error {
	switch {
	case o.Failure != nil:
		return o.Failure
	case o.Status == Cancelled:
		return Fail("child-cancelled", "a child was cancelled")
	}
	return decode(o.Value, v, "the child's result")
}

// UnmarshalJSON reads an outcome as the protocol has it.
func (o *Outcome) UnmarshalJSON(data []byte) error {
	var named map[string]json.RawMessage
	if err := json.Unmarshal(data, &named); err != nil {
		return err
	}
	for _, status := range []Status{Completed, Cancelled} {
		if value, ok := named[string(status)]; ok {
			*o = Outcome{Status: status, Value: value}
			return nil
		}
	}
	*o = Outcome{Status: Failed, Failure: new(ChildError)}
	failed, ok := named["failed"]
	if !ok {
		return fmt.Errorf("an outcome of no known kind: %s", data)
	}
	return json.Unmarshal(failed, o.Failure)
}

// Wait waits until the child has ended.
func (c *Child) Wait() (*Outcome, error) {
	_, outcome, err := c.ctx.WaitAny(Forever, c)
	return outcome, err
}

// Cancel asks the child to end.
func (c *Child) Cancel() error {
	_, err := c.ctx.call("cancel-child", struct {
		Run string `json:"run"`
	}{c.id})
	return err
}

// WaitAny waits until one of the children has ended, at most for the time limit: 0 does not
// wait, [Forever] waits without limit. It returns which it was and how it ended. The outcome
// is nil without an error if the time is over; the error is [ErrCancelled] if this run is
// cancelled. A run that waits here leaves its slot to others.
func (ctx *Context) WaitAny(limit time.Duration, children ...*Child) (int, *Outcome, error) {
	runs := make([]string, len(children))
	for i, child := range children {
		runs[i] = child.id
	}
	for {
		wait := timeLimit(limit)
		ended, err := callFor[*struct {
			Index   int     `json:"index"`
			Outcome Outcome `json:"outcome"`
		}](ctx, "wait-children", struct {
			Runs      []string `json:"runs"`
			TimeoutMS *int64   `json:"timeout_ms,omitempty"`
		}{runs, wait})
		switch {
		case err != nil:
			return 0, nil, err
		case ended != nil && (ended.Index < 0 || ended.Index >= len(children)):
			return 0, nil, &Error{Internal, "the host says that a child has ended that was not asked about"}
		case ended != nil:
			return ended.Index, &ended.Outcome, nil
		case ctx.Cancelled():
			return 0, nil, ErrCancelled
		case wait == nil:
			return 0, nil, &Error{Internal, "the host gave up waiting for a child"}
		case *wait < maxMilliseconds:
			return 0, nil, nil
		}
		limit -= time.Duration(*wait) * time.Millisecond
	}
}
