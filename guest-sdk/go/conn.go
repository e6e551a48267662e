package streamtask

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// maxLine is the limit of a line to the host, in bytes. The host treats a longer line as
// printed output, so it must never be written.
const maxLine = 3 << 19

// maxMilliseconds is the longest time that the contract can express.
const maxMilliseconds = 1<<32 - 1

// conn is the connection to the host: a line to the host, and, if it is a call, a line
// back.
type conn struct {
	// Held from a call to its response: responses arrive in the order of the calls.
	mu  sync.Mutex
	in  *bufio.Reader
	out io.Writer
	// Reused, so that sending does not allocate.
	line []byte
	// The errors after which nothing can be written, or no calls can be made. After an
	// incomplete line, the next one would continue it; after a call without a response, that
	// response would be taken for the next call.
	unwritable, unanswered *Error
}

func newConn(in io.Reader, out io.Writer) *conn {
	return &conn{in: bufio.NewReader(in), out: out}
}

// say writes one line.
func (c *conn) say(parts ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(parts)
}

// ask writes a call and returns the response of the host.
func (c *conn) ask(parts ...[]byte) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unanswered != nil {
		return nil, c.unanswered
	}
	if err := c.write(parts); err != nil {
		return nil, err
	}
	answer, err := c.readLine()
	if err != nil {
		c.unanswered = &Error{Unavailable, fmt.Sprintf("the host does not respond: %v", err)}
		return nil, c.unanswered
	}
	return parseAnswer(answer)
}

// write joins the parts, so that a line is one write and other output can't interrupt it.
func (c *conn) write(parts [][]byte) error {
	if c.unwritable != nil {
		return c.unwritable
	}
	c.line = c.line[:0]
	for _, part := range parts {
		c.line = append(c.line, part...)
	}
	if len(c.line) > maxLine {
		return &Error{TooLarge, fmt.Sprintf("a line to the host of %d bytes is larger than %d bytes", len(c.line), maxLine)}
	}
	c.line = append(c.line, '\n')
	if _, err := c.out.Write(c.line); err != nil {
		c.unwritable = &Error{Unavailable, fmt.Sprintf("can't write to the host: %v", err)}
		return c.unwritable
	}
	return nil
}

// readLine returns the next line. Standard input reports its end whenever there is nothing
// to read, so that is only final during a call.
func (c *conn) readLine() ([]byte, error) {
	line, err := c.in.ReadBytes('\n')
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}

func parseAnswer(line []byte) (json.RawMessage, error) {
	// By far the most frequent response: an event was accepted.
	if string(line) == `{"ok":null}` {
		return null, nil
	}
	var answer struct {
		OK    json.RawMessage `json:"ok"`
		Error *Error          `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, &Error{Internal, fmt.Sprintf("the host's response is not JSON: %v", err)}
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return answer.OK, nil
}

var null = json.RawMessage("null")

func isNull(value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" }

// call makes a call with few and small arguments.
func (ctx *Context) call(name string, arguments any) (json.RawMessage, error) {
	begin := `{"call":"` + name + `"`
	if arguments == nil {
		return ctx.conn.ask([]byte(begin + "}"))
	}
	encoded, err := encode(arguments)
	if err != nil {
		return nil, &Error{InvalidArgument, err.Error()}
	}
	if string(encoded) == "{}" {
		return ctx.conn.ask([]byte(begin + "}"))
	}
	return ctx.conn.ask([]byte(begin+","), encoded[1:])
}

// callFor is call with a typed response.
func callFor[T any](ctx *Context, name string, arguments any) (T, error) {
	var value T
	answer, err := ctx.call(name, arguments)
	if err == nil && !isNull(answer) {
		if err = json.Unmarshal(answer, &value); err != nil {
			err = &Error{Internal, fmt.Sprintf("the response to %s: %v", name, err)}
		}
	}
	return value, err
}

// encoder writes JSON into a reused buffer.
type encoder struct {
	buffer bytes.Buffer
	json   *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.buffer)
	// No HTML escaping: that is up to the page.
	e.json.SetEscapeHTML(false)
	return e
}}

func (e *encoder) encode(value any) ([]byte, error) {
	e.buffer.Reset()
	err := e.json.Encode(value)
	return bytes.TrimSuffix(e.buffer.Bytes(), []byte("\n")), err
}

// withJSON calls use with the JSON of a value, which is only valid during the call.
func withJSON(value any, use func([]byte) error) error {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	encoded, err := e.encode(value)
	if err == nil && mayBeBroken(encoded) {
		encoded, err = e.encode(mendValue(value))
		if !utf8.Valid(encoded) {
			encoded = []byte(mendText(string(encoded)))
		}
	}
	if err != nil {
		return err
	}
	return use(encoded)
}

// encode returns the JSON of a value on one line.
func encode(value any) (json.RawMessage, error) {
	var encoded json.RawMessage
	err := withJSON(value, func(data []byte) error {
		encoded = bytes.Clone(data)
		return nil
	})
	return encoded, err
}

// appendString appends a text as JSON.
func appendString(to []byte, text string) []byte {
	if isPlain(text) {
		return strconv.AppendQuote(to, text)
	}
	encoded, _ := json.Marshal(mendText(text)) // a string has a form in JSON
	return append(to, encoded...)
}

// isPlain reports whether Go and JSON quote a text in the same way.
func isPlain(text string) bool {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// milliseconds rounds up, so that a wait is never too short.
func milliseconds(time_ time.Duration) int64 {
	ms := int64(time_ / time.Millisecond)
	if time_%time.Millisecond > 0 {
		ms++
	}
	return ms
}
