package streamtask

import (
	"encoding/json"
	"fmt"
	"time"
)

// Child is a child run.
type Child struct {
	ctx *Context
	id  string
}

// ID returns the run's ID.
func (c *Child) ID() string { return c.id }

// ChildOptions are the options of a child run. The zero value has the defaults.
type ChildOptions struct {
	// Key identifies the child within this run: another start with the same key, also in a
	// later attempt, returns the same child.
	Key string `json:"key,omitempty"`
	// Detached children continue after this run has ended. Others are cancelled then.
	Detached bool `json:"detached,omitempty"`
	// Priority is from -100 to 100; higher priorities start first. Nil uses the task's
	// default.
	Priority *int `json:"priority,omitempty"`
}

// StartChild starts a run of a task: "app/task", or just the name for a task of the same
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

// Outcome is the outcome of a child.
type Outcome struct {
	// Status is Completed, Failed, or Cancelled.
	Status Status
	// Value is the result; for a cancelled child, that of its grace period, or null.
	Value json.RawMessage
	// Failure is the error of a failed child; otherwise nil.
	Failure *ChildError
}

// Cancelled is the status of a cancelled child.
const Cancelled Status = "cancelled"

// ChildError is the error of a failed child.
type ChildError struct {
	// Kind is "failure" if its task returned a failure; otherwise the cause, such as "trap".
	Kind string `json:"kind"`
	// Message is one line for people.
	Message string `json:"message"`
	// Code is the code of the task's failure.
	Code string `json:"code"`
	// Details is a JSON value, or empty.
	Details json.RawMessage `json:"details"`
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("a child failed (%s): %s", e.Kind, e.Message)
}

// Decode decodes the value of a completed child into v. It returns an error if the child
// did not complete.
func (o *Outcome) Decode(v any) error {
	switch {
	case o.Failure != nil:
		return o.Failure
	case o.Status == Cancelled:
		return Fail("child-cancelled", "a child was cancelled")
	}
	return decode(o.Value, v, "the child's result")
}

// UnmarshalJSON decodes an outcome from the protocol.
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

// Cancel requests cancellation of the child.
func (c *Child) Cancel() error {
	_, err := c.ctx.call("cancel-child", struct {
		Run string `json:"run"`
	}{c.id})
	return err
}

// WaitAny waits until one of the children has ended, for at most the time limit: 0 does not
// wait, [Forever] waits without limit. It returns the index and the outcome of the child.
// After the timeout, the outcome is nil, without an error; the error is [ErrCancelled] if
// this run is cancelled. While a run waits here, other runs can use its slot.
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
