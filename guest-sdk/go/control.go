package streamtask

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// Forever means no time limit.
const Forever time.Duration = -1

// Signal is a message that a client sent to the run.
type Signal struct {
	Name    string          `json:"name"`
	Payload json.RawMessage `json:"payload"`
}

// Decode decodes the payload into v.
func (s *Signal) Decode(v any) error {
	return decode(s.Payload, v, fmt.Sprintf("the payload of the signal %q", s.Name))
}

// ReceiveSignal removes and returns the oldest queued signal; with a name, the oldest of
// that name. If there is none, it waits for at most the time limit: 0 does not wait,
// [Forever] waits without limit. It returns nil without an error after the timeout, and
// [ErrCancelled] if the run is cancelled.
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

// timeLimit converts a limit for the contract: nil means none, and the longest is 49 days.
func timeLimit(limit time.Duration) *int64 {
	if limit < 0 {
		return nil
	}
	ms := min(milliseconds(limit), maxMilliseconds)
	return &ms
}

// Parameter returns the current value of a parameter; ok is false if it was never set.
// Clients can set parameters until the run ends. It fails if the value is not a T.
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

// Save saves a value under a key as JSON, replacing any earlier value. When it returns, the
// value and all events sent before it are durable. If the host crashes, a run that has
// saved a checkpoint continues with a new attempt. Retries can load its checkpoints, too.
func Save(ctx *Context, key string, value any) error {
	encoded, err := encode(value)
	if err != nil {
		return &Error{InvalidArgument, fmt.Sprintf("the checkpoint %q: %v", key, err)}
	}
	return ctx.SaveBytes(key, encoded)
}

// Load returns the last value saved under the key, in this attempt or an earlier one; ok is
// false if there is none. It fails if the value is not a T.
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

// RemoveCheckpoint deletes the value under the key, if there is one. The total size of a
// run's checkpoints is limited.
func (ctx *Context) RemoveCheckpoint(key string) error {
	_, err := ctx.call("remove-checkpoint", checkpointKey{key})
	return err
}

type checkpointKey struct {
	Key string `json:"key"`
}

// decode decodes JSON from outside; what names it in errors.
func decode(data []byte, v any, what string) error {
	if err := json.Unmarshal(data, v); err != nil {
		return &Error{InvalidArgument, what + ": " + jsonProblem(err)}
	}
	return nil
}
