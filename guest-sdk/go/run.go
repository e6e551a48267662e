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

// Run makes a function the task of this program. It reads the input into an In, calls the
// function, and hands its result or its error to the host. It returns when the task has
// succeeded, and ends the program otherwise.
//
// The input is JSON, read as by [encoding/json]. A value of another type and a field that In
// does not have fail the run with the code "invalid-input"; so does a method
// Validate() error of In, if it has one and it returns an error. With struct{}, any input
// will do; with [json.RawMessage], the task gets it as it is.
func Run[In, Out any](task func(*Context, In) (Out, error)) {
	host := os.Stdout
	// The protocol is ours alone: what others print goes to the log.
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

// attempt calls the task with the input line. A panic is told to the host, and goes on as
// panics do: the trace is printed, the program ends with code 2.
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

// say writes a line that has one key.
func (ctx *Context) say(key string, value any) error {
	encoded, err := encode(value)
	if err != nil {
		return fmt.Errorf("the %s has no form in JSON: %w", key, err)
	}
	return ctx.conn.say([]byte(`{"`+key+`":`), encoded, closing)
}

// fail says why. What is too large for a line is left out of it.
func (ctx *Context) fail(why failureLine) {
	why.Message = shorten(why.Message)
	var refusal *Error
	if err := ctx.say("failure", why); errors.As(err, &refusal) && refusal.Code == TooLarge {
		why.Details, _ = json.Marshal(refusal.Message)
		_ = ctx.say("failure", why)
	}
}

// ReadInput reads an input as [Run] does, for tasks that take it as [json.RawMessage] and
// learn only from it what it is.
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

// jsonProblem says what is wrong in words that mean something to who sent the JSON, and not
// only to who wrote the types.
func jsonProblem(err error) string {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		where := mismatch.Field
		if where == "" {
			where = "it"
		}
		// The value of a number is unbounded.
		value := mismatch.Value
		if utf8.RuneCountInString(value) > 50 {
			value = string([]rune(value)[:50]) + "…"
		}
		return fmt.Sprintf("%s has to be of type %s, not %s", where, mismatch.Type, value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
