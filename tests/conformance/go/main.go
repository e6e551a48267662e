// The conformance kit in Go: each case as ../README.md has it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
	_ "github.com/streamtask/streamtask/guest-sdk/go/taskhttp"
)

type object = map[string]any

func main() { streamtask.Run(dispatch) }

func dispatch(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	var which struct {
		Case string `json:"case"`
	}
	if err := json.Unmarshal(raw, &which); err != nil {
		return nil, err
	}
	do, ok := map[string]func(*streamtask.Context, json.RawMessage) (any, error){
		"echo": echo, "events": events, "bytes": sendBytes, "refused": refused, "too-large": tooLarge, "many": many,
		"flush": flush, "sleep": sleep, "info": info, "remaining": remaining, "cancel": cancel,
		"signal": signal, "parameter": parameter, "checkpoint": checkpoint, "failure": failure,
		"exception": exception, "log": logLine, "progress": progress, "view": view,
		"generator": generator, "async-generator": asyncGenerator, "typed-input": typedInput,
		"child": child, "http": httpGet, "random": random, "broken-text": brokenText,
		"panic": panics, "panic-elsewhere": panicsElsewhere, "out-of-memory": outOfMemory,
		"endless-loop": endlessLoop, "wrong-type": wrongType, "abort": unsupported, "exit": exit,
		"denied": denied, "load-missing": loadMissing, "load-other": loadOther,
	}[which.Case]
	if !ok {
		return nil, streamtask.Fail("unknown-case", "there is no case %q", which.Case)
	}
	return do(ctx, raw)
}

func echo(_ *streamtask.Context, raw json.RawMessage) (any, error) {
	in, err := streamtask.ReadInput[struct {
		Case  string          `json:"case"`
		Value json.RawMessage `json:"value"`
	}](raw)
	return object{"value": in.Value}, err
}

func events(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	in, err := streamtask.ReadInput[struct {
		Case   string `json:"case"`
		Events []struct {
			Type    string          `json:"type"`
			Data    json.RawMessage `json:"data"`
			Channel *string         `json:"channel"`
		} `json:"events"`
	}](raw)
	if err != nil {
		return nil, err
	}
	for _, event := range in.Events {
		if event.Channel == nil {
			err = ctx.Send(event.Type, event.Data)
		} else {
			err = ctx.SendOn(*event.Channel, event.Type, event.Data)
		}
		if err != nil {
			return nil, err
		}
	}
	return object{"sent": len(in.Events)}, nil
}

func sendBytes(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	in, err := streamtask.ReadInput[struct {
		Case        string `json:"case"`
		Size        int    `json:"size"`
		ContentType string `json:"content_type"`
		Channel     string `json:"channel"`
	}](raw)
	if err != nil {
		return nil, err
	}
	picture := make([]byte, in.Size)
	for i := range picture {
		picture[i] = byte(i % 251)
	}
	return object{"size": in.Size}, ctx.SendBytesOn(in.Channel, "picture", in.ContentType, picture)
}

// refusal is what a case returns of an error that it wanted.
func refusal(err error) (any, error) {
	var refused *streamtask.Error
	if errors.As(err, &refused) {
		return object{"code": refused.Code, "message": refused.Message}, nil
	}
	return nil, fmt.Errorf("no refusal but %v", err)
}

func refused(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	return refusal(ctx.Send("run.mine", 1))
}

func tooLarge(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct{ Size int }
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	return refusal(ctx.Send("large", strings.Repeat("x", in.Size)))
}

func many(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct{ N int }
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	type data struct {
		I int `json:"i"`
	}
	for i := 0; i < in.N; i++ {
		if err := ctx.Send("n", data{i}); err != nil {
			return nil, err
		}
	}
	return object{"sent": in.N}, nil
}

func flush(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	err := errors.Join(ctx.Send("before", nil), ctx.Flush(), ctx.Send("after", nil))
	return object{"flushed": true}, err
}

func sleep(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct{ MS int64 }
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	return object{"slept": true}, ctx.Sleep(time.Duration(in.MS) * time.Millisecond)
}

func info(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	return ctx.Info()
}

func remaining(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	left, ok, err := ctx.Remaining()
	if !ok {
		return object{"remaining_ms": nil}, err
	}
	return object{"remaining_ms": left.Milliseconds()}, err
}

func cancel(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	if err := ctx.Send("waiting", object{}); err != nil {
		return nil, err
	}
	for ctx.Sleep(time.Minute) == nil {
	}
	return object{"partial": true}, ctx.Send("noticed", object{})
}

func signal(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	in, err := streamtask.ReadInput[struct {
		Case      string `json:"case"`
		Name      string `json:"name"`
		TimeoutMS *int64 `json:"timeout_ms"`
	}](raw)
	if err != nil {
		return nil, err
	}
	limit := streamtask.Forever
	if in.TimeoutMS != nil {
		limit = time.Duration(*in.TimeoutMS) * time.Millisecond
	}
	if err := ctx.Send("waiting", object{}); err != nil {
		return nil, err
	}
	signal, err := ctx.ReceiveSignal(in.Name, limit)
	return object{"signal": signal}, err
}

func parameter(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct{ Name string }
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	if err := ctx.Send("waiting", object{}); err != nil {
		return nil, err
	}
	if _, err := ctx.ReceiveSignal("go", streamtask.Forever); err != nil {
		return nil, err
	}
	value, _, err := streamtask.Parameter[any](ctx, in.Name)
	return object{"value": value}, err
}

func checkpoint(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	loaded, ok, err := streamtask.Load[any](ctx, "step")
	if err != nil {
		return nil, err
	}
	if !ok {
		if err := streamtask.Save(ctx, "step", object{"step": 1}); err != nil {
			return nil, err
		}
		return nil, streamtask.Fail("once-more", "once more, please").Retry(0)
	}
	if err := ctx.RemoveCheckpoint("step"); err != nil {
		return nil, err
	}
	after, _, err := streamtask.Load[any](ctx, "step")
	return object{"loaded": loaded, "after": after}, err
}

func failure(_ *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct {
		Message, Code string
		Details       any
		Retryable     bool
		RetryAfterMS  int64 `json:"retry_after_ms"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	return nil, &streamtask.Failure{
		Message: in.Message, Code: in.Code, Details: in.Details, Retryable: in.Retryable,
		RetryAfter: time.Duration(in.RetryAfterMS) * time.Millisecond,
	}
}

func exception(*streamtask.Context, json.RawMessage) (any, error) {
	panic("boom")
}

func logLine(*streamtask.Context, json.RawMessage) (any, error) {
	slog.Warn("to the log ✓")
	fmt.Fprintln(os.Stderr, "to stderr")
	return nil, nil
}

func progress(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	for _, progress := range []streamtask.Progress{
		streamtask.Step(1).Total(2).Message("half"),
		streamtask.Item("import").Status(streamtask.Running).Total(80).Done(20),
		streamtask.Item("index").Parent("import").Weight(3).Status(streamtask.Waiting),
	} {
		if err := ctx.Progress(progress); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func view(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	out := ctx.View("out")
	// Arguments are evaluated in order.
	return nil, errors.Join(
		out.Start(), out.Append("a<b"), out.Prepend("c"), out.HTML("<p>x</p>"),
		out.Insert("<p>y</p>", streamtask.Top), out.Remove("p"), out.Prune(5, streamtask.Top),
		out.Error("broken"), out.Done(), ctx.State(object{"n": 1}),
	)
}

func generator(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	return streamtask.Stream(ctx, func(yield func(object) bool) {
		for n := 1; n <= 3 && yield(object{"n": n}); n++ {
		}
	})
}

func asyncGenerator(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	values := make(chan object)
	go func() {
		defer close(values)
		for n := 1; n <= 3; n++ {
			time.Sleep(5 * time.Millisecond)
			values <- object{"n": n}
		}
	}()
	return streamtask.StreamChan(ctx, values)
}

func typedInput(_ *streamtask.Context, raw json.RawMessage) (any, error) {
	type input struct {
		Case  string  `json:"case"`
		Count int     `json:"count"`
		Name  *string `json:"name"`
	}
	in, err := streamtask.ReadInput[input](raw)
	if err != nil {
		return nil, err
	}
	name := "nobody"
	if in.Name != nil {
		name = *in.Name
	}
	return object{"count": in.Count, "name": name}, nil
}

func child(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	in, err := streamtask.ReadInput[struct {
		Case  string          `json:"case"`
		Task  string          `json:"task"`
		Input json.RawMessage `json:"input"`
	}](raw)
	if err != nil {
		return nil, err
	}
	started, err := ctx.StartChild(in.Task, in.Input)
	if err != nil {
		return nil, err
	}
	outcome, err := started.Wait()
	if err != nil {
		return nil, err
	}
	if failed := outcome.Failure; failed != nil {
		return object{"failed": object{"kind": failed.Kind, "message": failed.Message, "code": failed.Code}}, nil
	}
	return object{string(outcome.Status): outcome.Value}, nil
}

func httpGet(ctx *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct{ URL string }
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Kit", "yes")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return object{"status": response.StatusCode, "body": string(body)}, err
}

func random(*streamtask.Context, json.RawMessage) (any, error) {
	return object{"random": rand.Uint32()}, nil
}
