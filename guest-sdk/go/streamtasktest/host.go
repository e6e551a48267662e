// Package streamtasktest tests tasks without a host.
//
// A [Host] replaces the host. It records the events of a task, and rejects the same calls
// as the host. Its clock only advances when the task sleeps or waits, so tests never wait.
//
//	host := streamtasktest.New()
//	host.Checkpoint("next", 3)
//	out, err := work(host.Context(), Input{Items: 5})
//	if got := host.Data("item"); !slices.Equal(got, []string{`{"item":3}`, `{"item":4}`}) {
//		t.Errorf("sent %v", got)
//	}
package streamtasktest

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
)

const (
	// maxEvent is the host's default limit for an event's data, in bytes.
	maxEvent = 1 << 20
	// maxName is the limit for event types, channels and checkpoint keys, in bytes.
	maxName = 128
)

// Event is an event that a task has sent.
type Event struct {
	Channel string
	Type    string
	// Data is JSON; nil for bytes.
	Data json.RawMessage
	// Bytes and their content type, if it was sent as bytes.
	Bytes       []byte
	ContentType string
}

// Host records the events of a task. Create it with [New].
type Host struct {
	// Info is the information about the run.
	Info streamtask.Info
	// CancelAfter is the time on the host's clock at which the run is cancelled; negative for
	// never.
	CancelAfter time.Duration
	// Deadline is the deadline of the attempt on the host's clock; negative for none.
	Deadline time.Duration
	// OnChild returns the outcome of a child. Without it, no tasks can be started.
	OnChild func(task string, input json.RawMessage) streamtask.Outcome
	// OnRequest answers HTTP requests. Without it they are denied.
	OnRequest func(streamtask.Request) (*streamtask.Response, *streamtask.Error)

	mu          sync.Mutex
	now         time.Duration
	events      []Event
	signals     []streamtask.Signal
	parameters  map[string]json.RawMessage
	checkpoints map[string][]byte
	children    []streamtask.Outcome
	flushed     int

	// The last lines of a program.
	result  json.RawMessage
	failure json.RawMessage
	printed []string
}

// New returns a host with a run that is never cancelled.
func New() *Host {
	return &Host{
		Info: streamtask.Info{
			ID: "run-1", App: "test", Task: "task", Version: strings.Repeat("0", 64), Attempt: 1,
			Labels: map[string]string{},
		},
		CancelAfter: -1,
		Deadline:    -1,
		parameters:  map[string]json.RawMessage{},
		checkpoints: map[string][]byte{},
	}
}

// Context returns the context for calling a task.
func (h *Host) Context() *streamtask.Context {
	pipe := &pipe{host: h}
	return streamtask.NewContext(&pipe.answers, pipe)
}

// pipe responds to each line when it is written.
type pipe struct {
	host    *Host
	answers bytes.Buffer
}

func (p *pipe) Write(line []byte) (int, error) {
	if answer := p.host.take(line); answer != nil {
		p.answers.Write(append(answer, '\n'))
	}
	return len(line), nil
}

// Signal queues a signal.
func (h *Host) Signal(name string, payload any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.signals = append(h.signals, streamtask.Signal{Name: name, Payload: mustEncode(payload)})
}

// Parameter sets a parameter.
func (h *Host) Parameter(name string, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parameters[name] = mustEncode(value)
}

// Checkpoint adds a checkpoint, as if an earlier attempt had saved it.
func (h *Host) Checkpoint(key string, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checkpoints[key] = mustEncode(value)
}

// Events returns all events, in order.
func (h *Host) Events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Event(nil), h.events...)
}

// Types returns the types of all events, in order.
func (h *Host) Types() []string {
	var types []string
	for _, event := range h.Events() {
		types = append(types, event.Type)
	}
	return types
}

// Data returns the data of all events of a type, in order.
func (h *Host) Data(eventType string) []string {
	var data []string
	for _, event := range h.Events() {
		if event.Type == eventType {
			data = append(data, string(event.Data))
		}
	}
	return data
}

// Elapsed returns how long the task has slept and waited.
func (h *Host) Elapsed() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// Flushed returns the number of events that were guaranteed to be durable after the last
// flush.
func (h *Host) Flushed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.flushed
}

func mustEncode(value any) json.RawMessage {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic("streamtasktest: " + err.Error())
	}
	return encoded
}
