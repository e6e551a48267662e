package streamtask

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// Forever is a time limit that never comes.
const Forever time.Duration = -1

// Signal is a message to the run.
type Signal struct {
	Name    string          `json:"name"`
	Payload json.RawMessage `json:"payload"`
}

// Decode reads the payload into what v points to.
func (s *Signal) Decode(v any) error {
	return decode(s.Payload, v, fmt.Sprintf("the payload of the signal %q", s.Name))
}

// ReceiveSignal takes the oldest signal that waits; with a name, the oldest of that name.
// It waits for one, at most for the time limit: 0 does not wait, [Forever] waits without
// limit. It returns nil without an error if the time is over, and [ErrCancelled] if the run
// is cancelled.
func (ctx *Context) ReceiveSignal(name string, limit time.Duration) (*Signal, error) {
	for {
		wait := timeLimit(limit)
		signal, err := callFor[*Signal](ctx, "receive-signal", struct {
			Name      string `json:"name,omitempty"`
			TimeoutMS *int64 `json:"timeout_ms,omitempty"`
		}{name, wait})
		if signal != nil || err != nil {
			return signal, err
		}
		if ctx.Cancelled() {
			return nil, ErrCancelled
		}
		if wait == nil {
			return nil, &Error{Internal, "the host gave up waiting for a signal"}
		}
		if *wait < maxMilliseconds {
			return nil, nil
		}
		limit -= time.Duration(*wait) * time.Millisecond
	}
}

// timeLimit is a limit as the contract says it: nil is none, and the longest is 49 days.
func timeLimit(limit time.Duration) *int64 {
	if limit < 0 {
		return nil
	}
	ms := min(milliseconds(limit), maxMilliseconds)
	return &ms
}

// Parameter returns the present value of a parameter; ok is false if it was never set.
// Clients can set parameters while the run is under way. It fails if the value is no T.
func Parameter[T any](ctx *Context, name string) (value T, ok bool, err error) {
	answer, err := callFor[*struct {
		Value json.RawMessage `json:"value"`
	}](ctx, "parameter", struct {
		Name string `json:"name"`
	}{name})
	if err != nil || answer == nil {
		return value, false, err
	}
	err = decode(answer.Value, &value, fmt.Sprintf("the parameter %q", name))
	return value, err == nil, err
}

// Save saves a value under a key as JSON, and replaces what was there. When it returns,
// the value is durable, and so is every event sent before. A run that has saved something
// is continued by a new attempt after a crash of the host; a retry finds it too.
func Save(ctx *Context, key string, value any) error {
	encoded, err := encode(value)
	if err != nil {
		return &Error{InvalidArgument, fmt.Sprintf("the checkpoint %q: %v", key, err)}
	}
	return ctx.SaveBytes(key, encoded)
}

// Load returns the value that this or an earlier attempt last saved under the key; ok is
// false if there is none. It fails if what was saved is no T.
//
//	next, _, err := streamtask.Load[int](ctx, "next") // 0 at first
func Load[T any](ctx *Context, key string) (value T, ok bool, err error) {
	saved, err := ctx.LoadBytes(key)
	if err != nil || saved == nil {
		return value, false, err
	}
	err = decode(saved, &value, fmt.Sprintf("the checkpoint %q", key))
	return value, err == nil, err
}

// SaveBytes saves bytes under a key; otherwise like [Save].
func (ctx *Context) SaveBytes(key string, value []byte) error {
	_, err := ctx.call("save-checkpoint", struct {
		Key    string `json:"key"`
		Base64 string `json:"base64"`
	}{key, base64.StdEncoding.EncodeToString(value)})
	return err
}

// LoadBytes returns the bytes last saved under the key; nil if there are none.
func (ctx *Context) LoadBytes(key string) ([]byte, error) {
	saved, err := callFor[*struct {
		Base64 []byte `json:"base64"`
	}](ctx, "load-checkpoint", checkpointKey{key})
	if err != nil || saved == nil {
		return nil, err
	}
	if saved.Base64 == nil {
		return []byte{}, nil
	}
	return saved.Base64, nil
}

// RemoveCheckpoint forgets what was saved under the key, if anything. What a run keeps is
// limited in all.
func (ctx *Context) RemoveCheckpoint(key string) error {
	_, err := ctx.call("remove-checkpoint", checkpointKey{key})
	return err
}

type checkpointKey struct {
	Key string `json:"key"`
}

// decode reads JSON that someone else has written; what says whose it is.
func decode(data []byte, v any, what string) error {
	if err := json.Unmarshal(data, v); err != nil {
		return &Error{InvalidArgument, what + ": " + jsonProblem(err)}
	}
	return nil
}
