package streamtask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Code is the kind of an error, distinguished by how the caller can react.
type Code string

const (
	// InvalidArgument: an argument is invalid; the same call fails again.
	InvalidArgument Code = "invalid-argument"
	// TooLarge: one argument is larger than allowed; the message gives the limit in bytes.
	TooLarge Code = "too-large"
	// LimitExceeded: the run has reached a limit on its total use, such as the number of
	// events.
	LimitExceeded Code = "limit-exceeded"
	// Denied: the operator has not granted this to the task.
	Denied Code = "denied"
	// NotFound: the requested item does not exist.
	NotFound Code = "not-found"
	// Conflict: the item already exists, with different content.
	Conflict Code = "conflict"
	// Unavailable: the host can't do this now, but may be able to later.
	Unavailable Code = "unavailable"
	// Internal: an internal error of the host.
	Internal Code = "internal"
)

// Error is the error of a call that the host rejected. A task that returns it fails with
// the same code.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// ErrCancelled means that cancellation of the run was requested. It is also a
// [context.Canceled].
var ErrCancelled error = cancelled{}

type cancelled struct{}

func (cancelled) Error() string        { return "the run was cancelled" }
func (cancelled) Is(target error) bool { return target == context.Canceled }

// Failure is an error with more information about a task's failure. It can be wrapped; the
// run's message is then that of the outermost error.
type Failure struct {
	// Message is one line for people.
	Message string
	// Code is a short machine-readable code, such as "rate-limited". The task chooses it.
	Code string
	// Details is further information, stored as JSON; nil for none.
	Details any
	// Retryable means that another attempt could succeed. The host retries only if the task's
	// retry policy allows it.
	Retryable bool
	// RetryAfter is the minimum delay before the next attempt; 0 is not set.
	RetryAfter time.Duration

	cause error
}

// Fail creates a failure with a code and a message formatted by [fmt.Errorf].
//
//	return streamtask.Fail("rate-limited", "asking %s: %w", host, err).Retry(30 * time.Second)
func Fail(code, format string, args ...any) *Failure {
	formatted := fmt.Errorf(format, args...)
	return &Failure{Message: formatted.Error(), Code: code, cause: errors.Unwrap(formatted)}
}

// Retry marks the failure as retryable after this time; 0 leaves the time to the task's
// retry policy.
func (f *Failure) Retry(after time.Duration) *Failure {
	f.Retryable, f.RetryAfter = true, after
	return f
}

// With attaches details, which are stored as JSON.
func (f *Failure) With(details any) *Failure {
	f.Details = details
	return f
}

func (f *Failure) Error() string { return f.Message }

// Unwrap returns the error of the format's %w.
func (f *Failure) Unwrap() error { return f.cause }

// failureLine is a failure in the protocol.
type failureLine struct {
	Message      string          `json:"message"`
	Code         string          `json:"code,omitempty"`
	Details      json.RawMessage `json:"details,omitempty"`
	Retryable    bool            `json:"retryable,omitempty"`
	RetryAfterMS *int64          `json:"retry_after_ms,omitempty"`
}

// describe converts any error to the failure that is stored with the run.
func describe(err error) failureLine {
	line := failureLine{Message: err.Error()}
	var failure *Failure
	var refusal *Error
	switch {
	case errors.As(err, &failure):
		line.Code, line.Retryable = failure.Code, failure.Retryable
		line.Details = detailsOf(failure)
		if failure.RetryAfter > 0 {
			ms := milliseconds(failure.RetryAfter)
			line.RetryAfterMS = &ms
		}
	case errors.As(err, &refusal):
		line.Code, line.Retryable = string(refusal.Code), refusal.Code == Unavailable
	case errors.Is(err, context.Canceled):
		line.Code = "cancelled"
	}
	return line
}

// detailsOf replaces details that can't be encoded as JSON by the reason, because creating
// a failure must not fail.
func detailsOf(failure *Failure) json.RawMessage {
	if failure.Details == nil {
		return nil
	}
	details, err := encode(failure.Details)
	if err != nil {
		details, _ = json.Marshal(err.Error())
	}
	return details
}
