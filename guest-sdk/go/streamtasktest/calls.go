package streamtasktest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
)

// line is any line of a program.
type line struct {
	Event   *string         `json:"event"`
	Result  json.RawMessage `json:"result"`
	Failure json.RawMessage `json:"failure"`
	Call    string          `json:"call"`

	Type        string          `json:"type"`
	Data        json.RawMessage `json:"data"`
	Channel     string          `json:"channel"`
	ContentType string          `json:"content_type"`
	Base64      []byte          `json:"base64"`
	MS          int64           `json:"ms"`
	Name        string          `json:"name"`
	TimeoutMS   *int64          `json:"timeout_ms"`
	Key         string          `json:"key"`
	Task        string          `json:"task"`
	Input       json.RawMessage `json:"input"`
	Runs        []string        `json:"runs"`
	Run         string          `json:"run"`
	Method      string          `json:"method"`
	URL         string          `json:"url"`
	Headers     [][2]string     `json:"headers"`
}

// take processes a line, and returns the response if it is a call.
func (h *Host) take(text []byte) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	var said line
	if json.Unmarshal(text, &said) != nil {
		h.printed = append(h.printed, strings.TrimSuffix(string(text), "\n"))
		return nil
	}
	switch {
	case said.Call != "":
		ok, refusal := h.answer(&said)
		if refusal != nil {
			return mustEncode(map[string]any{"error": refusal})
		}
		return mustEncode(map[string]any{"ok": ok})
	case said.Event != nil:
		said.Type = *said.Event
		// As in the host, the rejection is not reported to the task.
		_ = h.send(&said)
	case said.Result != nil:
		h.result = said.Result
	case said.Failure != nil:
		h.failure = said.Failure
	default:
		h.printed = append(h.printed, strings.TrimSuffix(string(text), "\n"))
	}
	return nil
}

func refuse(code streamtask.Code, format string, args ...any) *streamtask.Error {
	return &streamtask.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (h *Host) answer(call *line) (any, *streamtask.Error) {
	switch call.Call {
	case "send-event", "send-bytes":
		return nil, h.send(call)
	case "flush":
		h.flushed = len(h.events)
		return nil, nil
	case "info":
		return h.Info, nil
	case "remaining-ms":
		if h.Deadline < 0 {
			return nil, nil
		}
		return max(h.Deadline-h.now, 0).Milliseconds(), nil
	case "cancelled":
		return h.cancelled(), nil
	case "sleep-ms":
		return h.pass(time.Duration(call.MS) * time.Millisecond), nil
	case "receive-signal":
		return h.receive(call), nil
	case "parameter":
		if value, ok := h.parameters[call.Name]; ok {
			return map[string]any{"value": value}, nil
		}
		return nil, nil
	case "save-checkpoint", "load-checkpoint", "remove-checkpoint":
		return h.checkpoint(call)
	case "start-child":
		return h.startChild(call)
	case "wait-children":
		return h.waitChildren(call)
	case "cancel-child":
		_, refusal := h.child(call.Run)
		return nil, refusal
	case "http-request":
		return h.request(call)
	}
	return nil, refuse(streamtask.InvalidArgument, "there is no call %q", call.Call)
}

func (h *Host) send(event *line) *streamtask.Error {
	if problem := nameProblem(event.Type); problem != "" {
		return refuse(streamtask.InvalidArgument, "the event type %q %s", event.Type, problem)
	}
	if strings.HasPrefix(event.Type, "run.") || event.Type == "gap" {
		return refuse(streamtask.InvalidArgument, "the event type %q is reserved for the host", event.Type)
	}
	if size := max(len(event.Data), len(event.Base64)); size > maxEvent {
		return refuse(streamtask.TooLarge, "an event of %d bytes is larger than %d bytes", size, maxEvent)
	}
	if event.Channel != "" {
		if problem := nameProblem(event.Channel); problem != "" {
			return refuse(streamtask.InvalidArgument, "the channel %q %s", event.Channel, problem)
		}
	}
	h.events = append(h.events, Event{
		Channel: event.Channel, Type: event.Type, Data: event.Data,
		Bytes: event.Base64, ContentType: event.ContentType,
	})
	return nil
}

func nameProblem(name string) string {
	if name == "" || len(name) > maxName {
		return fmt.Sprintf("has to have 1 to %d bytes", maxName)
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return "has control characters"
	}
	return ""
}

func (h *Host) cancelled() bool { return h.CancelAfter >= 0 && h.now >= h.CancelAfter }

// pass advances the clock, at most to the cancellation of the run; it returns true if it
// advanced by the whole time.
func (h *Host) pass(wait time.Duration) bool {
	if h.CancelAfter >= 0 && h.now+wait >= h.CancelAfter {
		h.now = max(h.now, h.CancelAfter)
		return false
	}
	h.now += wait
	return true
}

// waitFor advances the clock for a call that waits. It panics if a call without a limit
// would never return because the run is never cancelled.
func (h *Host) waitFor(call *line) {
	switch {
	case call.TimeoutMS != nil:
		h.pass(time.Duration(*call.TimeoutMS) * time.Millisecond)
	case h.CancelAfter >= 0:
		h.now = max(h.now, h.CancelAfter)
	default:
		panic("streamtasktest: the task waits forever: " + call.Call)
	}
}

func (h *Host) receive(call *line) any {
	for i, signal := range h.signals {
		if call.Name == "" || call.Name == signal.Name {
			h.signals = append(h.signals[:i:i], h.signals[i+1:]...)
			return signal
		}
	}
	h.waitFor(call)
	return nil
}

func (h *Host) checkpoint(call *line) (any, *streamtask.Error) {
	if problem := nameProblem(call.Key); problem != "" {
		return nil, refuse(streamtask.InvalidArgument, "the key %q %s", call.Key, problem)
	}
	saved, ok := h.checkpoints[call.Key]
	switch {
	case call.Call == "save-checkpoint":
		h.checkpoints[call.Key] = call.Base64
		h.flushed = len(h.events)
	case call.Call == "remove-checkpoint":
		delete(h.checkpoints, call.Key)
	case ok:
		return map[string][]byte{"base64": saved}, nil
	}
	return nil, nil
}

func (h *Host) startChild(call *line) (any, *streamtask.Error) {
	if h.OnChild == nil {
		return nil, refuse(streamtask.NotFound, "there is no task %q", call.Task)
	}
	h.children = append(h.children, h.OnChild(call.Task, call.Input))
	return fmt.Sprintf("child-%d", len(h.children)), nil
}

func (h *Host) child(id string) (*streamtask.Outcome, *streamtask.Error) {
	for i := range h.children {
		if id == fmt.Sprintf("child-%d", i+1) {
			return &h.children[i], nil
		}
	}
	return nil, refuse(streamtask.NotFound, "this run has no child %q", id)
}

// waitChildren returns the first of the list, because all children have ended.
func (h *Host) waitChildren(call *line) (any, *streamtask.Error) {
	if len(call.Runs) == 0 {
		return nil, refuse(streamtask.InvalidArgument, "the list of runs is empty")
	}
	outcome, refusal := h.child(call.Runs[0])
	if refusal != nil {
		return nil, refusal
	}
	said := map[string]any{string(outcome.Status): outcome.Value}
	if outcome.Failure != nil {
		said = map[string]any{"failed": outcome.Failure}
	}
	return map[string]any{"index": 0, "outcome": said}, nil
}

func (h *Host) request(call *line) (any, *streamtask.Error) {
	if h.OnRequest == nil {
		return nil, refuse(streamtask.Denied, "the task is not granted HTTP to %s", call.URL)
	}
	request := streamtask.Request{Method: call.Method, URL: call.URL, Headers: call.Headers, Body: call.Base64}
	if call.TimeoutMS != nil {
		request.Timeout = time.Duration(*call.TimeoutMS) * time.Millisecond
	}
	response, refusal := h.OnRequest(request)
	if refusal != nil {
		return nil, refusal
	}
	return response, nil
}
