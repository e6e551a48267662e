package streamtask

import (
	"context"
	"io"
	"sync"
	"time"
)

// Context is the current run.
//
// It is also a [context.Context]: it is done when the run is cancelled, and has the
// deadline of the attempt.
//
// Its methods can be called by all goroutines, but a call that waits for the host blocks
// all of them.
type Context struct {
	conn *conn

	// Guards the following fields.
	mu sync.Mutex
	// Closed when the cancellation of the run is detected.
	done  chan struct{}
	heard bool
	// Whether a goroutine polls the host for cancellation.
	watched bool
	// When Err last polled, and the minimum time between two polls.
	asked    time.Time
	askEvery time.Duration
}

var _ context.Context = (*Context)(nil)

const (
	// askEvery limits the cost of Err in a loop that computes.
	askEvery = 10 * time.Millisecond
	// watchEvery is the interval in which Done detects cancellation while goroutines wait; a
	// wake-up costs a few microseconds, and a grace period is seconds.
	watchEvery = 250 * time.Millisecond
)

// NewContext returns a context that communicates with a host over a reader and a writer,
// for tests. It does not read the input line. Tasks get their context from [Run].
func NewContext(in io.Reader, out io.Writer) *Context {
	return &Context{conn: newConn(in, out), done: make(chan struct{})}
}

// FromContext returns the run's context from a context derived from it.
func FromContext(ctx context.Context) (*Context, bool) {
	run, ok := ctx.Value(contextKey{}).(*Context)
	return run, ok
}

type contextKey struct{}

// Value implements [context.Context]; its only value is itself.
func (ctx *Context) Value(key any) any {
	if key == (contextKey{}) {
		return ctx
	}
	return nil
}

// Deadline returns the deadline of this attempt.
func (ctx *Context) Deadline() (deadline time.Time, ok bool) {
	left, ok, err := ctx.Remaining()
	if err != nil || !ok {
		return time.Time{}, false
	}
	return time.Now().Add(left), true
}

// Remaining returns the time left until this attempt's deadline; ok is false if it has
// none. The maximum is 49 days, also if more time is left.
func (ctx *Context) Remaining() (left time.Duration, ok bool, err error) {
	ms, err := callFor[*int64](ctx, "remaining-ms", nil)
	if err != nil || ms == nil {
		return 0, false, err
	}
	return time.Duration(*ms) * time.Millisecond, true, nil
}

// Done returns a channel that is closed soon after cancellation of the run was requested:
// at once if a call reports it, otherwise within 250 ms if the task lets other goroutines
// run.
func (ctx *Context) Done() <-chan struct{} {
	ctx.mu.Lock()
	defer ctx.mu.Unlock()
	if !ctx.watched && !ctx.heard {
		ctx.watched = true
		go ctx.watch()
	}
	return ctx.done
}

// watch polls until the run is cancelled, or the host does not respond any more.
func (ctx *Context) watch() {
	for {
		select {
		case <-ctx.done:
			return
		case <-time.After(watchEvery):
		}
		if _, err := ctx.askCancelled(); err != nil {
			return
		}
	}
}

// Err returns [context.Canceled] if cancellation of the run was requested. It polls the
// host at most every 10 ms, so it can be used in loops that compute.
func (ctx *Context) Err() error {
	ctx.mu.Lock()
	known, recent := ctx.heard, ctx.askEvery > 0 && time.Since(ctx.asked) < ctx.askEvery
	ctx.mu.Unlock()
	if known || (!recent && ctx.Cancelled()) {
		return context.Canceled
	}
	return nil
}

// Cancelled asks the host whether cancellation of the run was requested.
func (ctx *Context) Cancelled() bool {
	cancelled, _ := ctx.askCancelled()
	return cancelled
}

func (ctx *Context) askCancelled() (bool, error) {
	ctx.mu.Lock()
	known := ctx.heard
	ctx.asked = time.Now()
	ctx.mu.Unlock()
	if known {
		return true, nil
	}
	cancelled, err := callFor[bool](ctx, "cancelled", nil)
	if cancelled {
		ctx.hear()
	}
	return cancelled, err
}

// hear records that the run is cancelled, which is final.
func (ctx *Context) hear() {
	ctx.mu.Lock()
	defer ctx.mu.Unlock()
	if !ctx.heard {
		ctx.heard = true
		close(ctx.done)
	}
}

// Sleep sleeps. It returns [ErrCancelled] as soon as the run is cancelled, which is enough
// for most tasks to end in time.
func (ctx *Context) Sleep(d time.Duration) error {
	for left := milliseconds(max(d, 0)); ; left -= maxMilliseconds {
		slept, err := callFor[bool](ctx, "sleep-ms", struct {
			MS int64 `json:"ms"`
		}{min(left, maxMilliseconds)})
		if err != nil {
			return err
		}
		if !slept {
			ctx.hear()
			return ErrCancelled
		}
		if left <= maxMilliseconds {
			return nil
		}
	}
}

// Info is information about the current attempt. It does not change during the attempt.
type Info struct {
	ID   string `json:"id"`
	App  string `json:"app"`
	Task string `json:"task"`
	// Version is the task's version: the SHA-256 of its file, in hexadecimal.
	Version string `json:"version"`
	// Attempt is 1 for the first.
	Attempt int               `json:"attempt"`
	Labels  map[string]string `json:"labels"`
}

// Info returns information about the current attempt.
func (ctx *Context) Info() (Info, error) {
	return callFor[Info](ctx, "info", nil)
}
