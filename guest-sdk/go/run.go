package streamtask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/streamtask/streamtask/guest-sdk/go/internal/start"
)

// Run makes a function the task of this program. It decodes the input into an In, calls the
// function, and sends its result or its error to the host. It returns when the task has
// succeeded, and exits otherwise.
//
// The input is JSON, decoded by [encoding/json]. Values of another type and unknown fields
// fail the run with the code "invalid-input", and so does an error of In's method
// Validate() error, if it has one. struct{} accepts any input; [json.RawMessage] receives
// it unchanged.
func Run[In, Out any](task func(*Context, In) (Out, error)) {
	host := os.Stdout
	// Only the SDK writes to standard output: all other output goes to the log.
	os.Stdout = os.Stderr
	if code := runOver(os.Stdin, host, task); code != 0 {
		os.Exit(code)
	}
}

// runOver returns the exit code.
func runOver[In, Out any](in io.Reader, out io.Writer, task func(*Context, In) (Out, error)) int {
	ctx := NewContext(in, out)
	ctx.askEvery = askEvery
	result, err := ctx.attempt(func(raw []byte) (any, error) {
		input, err := ReadInput[In](raw)
		if err != nil {
			return nil, err
		}
		slog.SetDefault(slog.New(ctx.LogHandler(slog.LevelInfo)))
		for _, hook := range start.Hooks {
			hook(ctx)
		}
		return task(ctx, input)
	})
	if err == nil {
		err = ctx.say("result", result)
	}
	if err != nil {
		ctx.fail(describe(err))
		return 1
	}
	return 0
}

// attempt calls the task with the input line. A panic is reported to the host, and
// continues as usual: the trace is printed, and the program exits with code 2.
func (ctx *Context) attempt(task func(input []byte) (any, error)) (any, error) {
	defer func() {
		if problem := recover(); problem != nil {
			ctx.fail(failureLine{Message: fmt.Sprintf("panic: %v", problem), Code: "panic"})
			panic(problem)
		}
	}()
	input, err := ctx.conn.readLine()
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("can't read the input: %w", err)
	}
	return task(input)
}

// say writes a line with one key.
func (ctx *Context) say(key string, value any) error {
	encoded, err := encode(value)
	if err != nil {
		return fmt.Errorf("the %s can't be encoded as JSON: %w", key, err)
	}
	return ctx.conn.say([]byte(`{"`+key+`":`), encoded, closing)
}

// fail writes the failure. Parts that are too large for a line are omitted.
func (ctx *Context) fail(why failureLine) {
	why.Message = shorten(why.Message)
	var refusal *Error
	if err := ctx.say("failure", why); errors.As(err, &refusal) && refusal.Code == TooLarge {
		why.Details, _ = json.Marshal(refusal.Message)
		_ = ctx.say("failure", why)
	}
}

// ReadInput decodes an input as [Run] does, for tasks that take it as [json.RawMessage]
// because its type depends on its content.
func ReadInput[In any](raw json.RawMessage) (In, error) {
	var input In
	if _, any := any(input).(struct{}); any {
		return input, nil
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = null
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&input); err != nil {
		return input, Fail("invalid-input", "the input: %s", jsonProblem(err))
	}
	if checked, ok := any(&input).(interface{ Validate() error }); ok {
		if err := checked.Validate(); err != nil {
			return input, Fail("invalid-input", "the input: %w", err)
		}
	}
	return input, nil
}

// jsonProblem describes an error for the author of the JSON, instead of the author of the
// types.
func jsonProblem(err error) string {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		where := mismatch.Field
		if where == "" {
			where = "it"
		}
		// A number can have any length.
		value := mismatch.Value
		if utf8.RuneCountInString(value) > 50 {
			value = string([]rune(value)[:50]) + "…"
		}
		return fmt.Sprintf("%s has to be of type %s, not %s", where, mismatch.Type, value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
