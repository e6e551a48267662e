package streamtask

import (
	"encoding/base64"
	"strings"
	"unicode"
)

// maxName is the longest event type or channel in bytes.
const maxName = 128

// Send sends one event. It returns when the host has queued it, with an [*Error] if the
// host rejected it; it waits if the task sends faster than the disk can write.
//
// The task chooses the type: 1 to 128 bytes without control characters, not beginning with
// "run." and not "gap". All subscribers of the run get every event, in order, once it is
// durable.
func (ctx *Context) Send(eventType string, data any) error {
	return ctx.SendOn("", eventType, data)
}

// SendOn sends one event on a named channel. Clients can subscribe to a single channel. The
// empty name is the default channel, which Send uses.
func (ctx *Context) SendOn(channel, eventType string, data any) error {
	return withData(data, func(data []byte) error {
		var space [2 * maxName]byte
		begin := append(space[:0], `{"call":"send-event","type":`...)
		_, err := ctx.conn.ask(eventHead(begin, channel, eventType), data, closing)
		return err
	})
}

// Post sends one event without waiting for the host's response. It checks the type itself;
// if the host rejects the event for another reason (its size, the number of events), only
// the log of the run has the error.
func (ctx *Context) Post(eventType string, data any) error {
	eventType = mendText(eventType)
	if problem := typeProblem(eventType); problem != "" {
		return &Error{InvalidArgument, problem}
	}
	return withData(data, func(data []byte) error {
		var space [2 * maxName]byte
		return ctx.conn.say(eventHead(append(space[:0], `{"event":`...), "", eventType), data, closing)
	})
}

var closing = []byte{'}'}

// eventHead appends the part of an event before its data.
func eventHead(to []byte, channel, eventType string) []byte {
	to = appendString(to, eventType)
	if channel != "" {
		to = appendString(append(to, `,"channel":`...), channel)
	}
	return append(to, `,"data":`...)
}

// withData distinguishes data that can't be encoded as JSON from errors of the host.
func withData(data any, use func([]byte) error) error {
	var answer error
	err := withJSON(data, func(encoded []byte) error {
		answer = use(encoded)
		return nil
	})
	if err != nil {
		return &Error{InvalidArgument, "the event's data: " + err.Error()}
	}
	return answer
}

// typeProblem returns the rule of the contract that a type violates, if any.
func typeProblem(eventType string) string {
	switch {
	case eventType == "" || len(eventType) > maxName:
		return "an event type has 1 to 128 bytes"
	case strings.HasPrefix(eventType, "run.") || eventType == "gap":
		return "the event type " + eventType + " is reserved for the host"
	case strings.ContainsFunc(eventType, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}):
		return "an event type has no control characters and no line breaks"
	}
	return ""
}

// SendBytes sends bytes as one event. The content type is a media type such as "image/png".
func (ctx *Context) SendBytes(eventType, contentType string, data []byte) error {
	return ctx.SendBytesOn("", eventType, contentType, data)
}

// SendBytesOn sends bytes as one event on a named channel.
func (ctx *Context) SendBytesOn(channel, eventType, contentType string, data []byte) error {
	head := appendString([]byte(`{"call":"send-bytes","type":`), eventType)
	if channel != "" {
		head = appendString(append(head, `,"channel":`...), channel)
	}
	head = appendString(append(head, `,"content_type":`...), contentType)
	head = append(head, `,"base64":"`...)
	encoded := make([]byte, base64.StdEncoding.EncodedLen(len(data)))
	base64.StdEncoding.Encode(encoded, data)
	_, err := ctx.conn.ask(head, encoded, []byte(`"}`))
	return err
}

// Flush waits until all events sent so far are durable.
func (ctx *Context) Flush() error {
	_, err := ctx.call("flush", nil)
	return err
}
