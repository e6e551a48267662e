package streamtask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Code says what went wrong, by what the caller can do about it.
type Code string

const (
	// InvalidArgument: an argument breaks a rule; the same call will fail again.
	InvalidArgument Code = "invalid-argument"
	// TooLarge: one argument is larger than allowed; the message gives the limit in bytes.
	TooLarge Code = "too-large"
	// LimitExceeded: something that is limited over the whole run is used up, such as the
	// number of events.
	LimitExceeded Code = "limit-exceeded"
	// Denied: the operator has not granted this to the task.
	Denied Code = "denied"
	// NotFound: what was asked for does not exist.
	NotFound Code = "not-found"
	// Conflict: what was asked for exists already, in another form.
	Conflict Code = "conflict"
	// Unavailable: the host can't do this now; later it may.
	Unavailable Code = "unavailable"
	// Internal: a fault of the host.
	Internal Code = "internal"
)

// Error is a call to the host that was refused. A task that returns it fails with the same
// code.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// ErrCancelled says that someone asked to cancel the run. It is a [context.Canceled] too.
var ErrCancelled error = cancelled{}

type cancelled struct{}

func (cancelled) Error() string        { return "the run was cancelled" }
func (cancelled) Is(target error) bool { return target == context.Canceled }

// Failure is an error that says more about why a task did not succeed. It may be wrapped;
// the message of the run is then that of the outermost error.
type Failure struct {
	// Message is one line for people.
	Message string
	// Code is a short word for programs, such as "rate-limited"; the task's own choice.
	Code string
	// Details is whatever else is worth keeping, as JSON; nil for nothing.
	Details any
	// Retryable says that another attempt could succeed. The host makes one only if the
	// task's retry policy allows it.
	Retryable bool
	// RetryAfter is the least time before another attempt; 0 says nothing.
	RetryAfter time.Duration

	cause error
}

// Fail makes a failure with a code for programs and a message as [fmt.Errorf] writes it.
//
//	return streamtask.Fail("rate-limited", "asking %s: %w", host, err).Retry(30 * time.Second)
func Fail(code, format string, args ...any) *Failure {
	formatted := fmt.Errorf(format, args...)
	return &Failure{Message: formatted.Error(), Code: code, cause: errors.Unwrap(formatted)}
}

// Retry says that another attempt could succeed, not before this time has passed; 0 leaves
// the time to the task's retry policy.
func (f *Failure) Retry(after time.Duration) *Failure {
	f.Retryable, f.RetryAfter = true, after
	return f
}

// With attaches details, which are kept as JSON.
func (f *Failure) With(details any) *Failure {
	f.Details = details
	return f
}

func (f *Failure) Error() string { return f.Message }

// Unwrap returns what the format's %w stood for.
func (f *Failure) Unwrap() error { return f.cause }

// failureLine is what the protocol calls a failure.
type failureLine struct {
	Message      string          `json:"message"`
	Code         string          `json:"code,omitempty"`
	Details      json.RawMessage `json:"details,omitempty"`
	Retryable    bool            `json:"retryable,omitempty"`
	RetryAfterMS *int64          `json:"retry_after_ms,omitempty"`
}

// describe says of any error what a run keeps of it.
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

// detailsOf gives the reason in place of details without a form in JSON: a failure must
// not fail.
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
