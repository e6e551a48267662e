package streamtask

import (
	"context"
	"io"
	"sync"
	"time"
)

// Context is the run, as its task sees it.
//
// It is a [context.Context] too: it is done when the run was asked to end, has the
// deadline of the attempt, and can be given to whatever takes a context.
//
// Its methods can be called by all goroutines, but while one waits for the host, the others
// stand still too.
type Context struct {
	conn *conn

	// Guards what follows.
	mu sync.Mutex
	// Closed when it is known that the run was asked to end.
	done  chan struct{}
	heard bool
	// Whether someone asks the host about it from time to time.
	watched bool
	// When Err last asked, and the least time between two questions of it.
	asked    time.Time
	askEvery time.Duration
}

var _ context.Context = (*Context)(nil)

const (
	// askEvery bounds what it costs to look at Err in a loop that computes.
	askEvery = 10 * time.Millisecond
	// watchEvery is how soon Done hears of a cancel while goroutines wait; a wake-up
	// costs a few microseconds, and a grace time is seconds.
	watchEvery = 250 * time.Millisecond
)

// NewContext returns a context that speaks with a host by these two, for tests. The input
// line is not expected on it. Tasks get theirs from [Run].
func NewContext(in io.Reader, out io.Writer) *Context {
	return &Context{conn: newConn(in, out), done: make(chan struct{})}
}

// FromContext returns the run's context from one that was derived from it.
func FromContext(ctx context.Context) (*Context, bool) {
	run, ok := ctx.Value(contextKey{}).(*Context)
	return run, ok
}

type contextKey struct{}

// Value implements [context.Context]; it has nothing of its own but itself.
func (ctx *Context) Value(key any) any {
	if key == (contextKey{}) {
		return ctx
	}
	return nil
}

// Deadline returns when the host ends this attempt.
func (ctx *Context) Deadline() (deadline time.Time, ok bool) {
	left, ok, err := ctx.Remaining()
	if err != nil || !ok {
		return time.Time{}, false
	}
	return time.Now().Add(left), true
}

// Remaining returns the time left until the host ends this attempt; ok is false if it has
// no deadline. Times above 49 days are given as 49 days.
func (ctx *Context) Remaining() (left time.Duration, ok bool, err error) {
	ms, err := callFor[*int64](ctx, "remaining-ms", nil)
	if err != nil || ms == nil {
		return 0, false, err
	}
	return time.Duration(*ms) * time.Millisecond, true, nil
}

// Done returns a channel that is closed soon after someone asked to cancel the run: at
// once if the task hears of it by a call, else within 250 ms if it lets other goroutines
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

// watch asks until it hears that the run is cancelled, or hears nothing any more.
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

// Err returns [context.Canceled] if someone asked to cancel the run. It asks the host, at
// most every 10 ms, so it suits loops that compute.
func (ctx *Context) Err() error {
	ctx.mu.Lock()
	known, recent := ctx.heard, ctx.askEvery > 0 && time.Since(ctx.asked) < ctx.askEvery
	ctx.mu.Unlock()
	if known || (!recent && ctx.Cancelled()) {
		return context.Canceled
	}
	return nil
}

// Cancelled asks the host whether someone asked to cancel the run.
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

// hear notes that the run was asked to end. That is never taken back.
func (ctx *Context) hear() {
	ctx.mu.Lock()
	defer ctx.mu.Unlock()
	if !ctx.heard {
		ctx.heard = true
		close(ctx.done)
	}
}

// Sleep waits. It returns [ErrCancelled] at once when the run is or gets cancelled, which
// is all that most tasks need to end in time.
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

// Info holds the facts of this attempt. They do not change while it runs.
type Info struct {
	ID   string `json:"id"`
	App  string `json:"app"`
	Task string `json:"task"`
	// Version is the SHA-256 of the file that this attempt runs on, in hexadecimal.
	Version string `json:"version"`
	// Attempt is 1 for the first.
	Attempt int               `json:"attempt"`
	Labels  map[string]string `json:"labels"`
}

// Info asks for the facts of this attempt.
func (ctx *Context) Info() (Info, error) {
	return callFor[Info](ctx, "info", nil)
}
