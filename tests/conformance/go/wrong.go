package main

// The cases of what goes wrong.

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
)

func unsupported(*streamtask.Context, json.RawMessage) (any, error) {
	return nil, streamtask.Fail("unsupported", "Go has no such thing")
}

func brokenText(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	// An emoji without its last byte.
	const text = "a\xf0\x9f\x8eb"
	err := ctx.Send("broken", object{"text": text})
	ctx.Log(slog.LevelInfo, text)
	return object{"text": text}, errors.Join(err, ctx.Progress(streamtask.Step(1).Total(2).Message(text)))
}

func deep(message string) int {
	if message != "" {
		panic(message)
	}
	return 1
}

func deeper(message string) int { return deep(message) + 1 }

func panics(*streamtask.Context, json.RawMessage) (any, error) {
	return deeper("boom") + 1, nil
}

func panicsElsewhere(*streamtask.Context, json.RawMessage) (any, error) {
	done := make(chan int)
	go func() { done <- deeper("boom") + 1 }()
	return <-done, nil
}

func outOfMemory(*streamtask.Context, json.RawMessage) (any, error) {
	var kept [][]byte
	for {
		piece := make([]byte, 1<<20)
		for i := range piece {
			piece[i] = 1
		}
		kept = append(kept, piece)
	}
}

func endlessLoop(*streamtask.Context, json.RawMessage) (any, error) {
	for n := uint32(0); ; n++ {
	}
}

func wrongType(*streamtask.Context, json.RawMessage) (any, error) {
	return []string{"not", "an", "object"}, nil
}

func exit(_ *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct{ Code int }
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	os.Exit(in.Code)
	return nil, nil
}

func denied(_ *streamtask.Context, raw json.RawMessage) (any, error) {
	var in struct{ URL string }
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	response, err := http.Get(in.URL)
	if err != nil {
		return nil, err
	}
	return object{"status": response.StatusCode}, response.Body.Close()
}

func loadMissing(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	loaded, _, err := streamtask.Load[any](ctx, "never-saved")
	return object{"loaded": loaded}, err
}

func loadOther(ctx *streamtask.Context, _ json.RawMessage) (any, error) {
	if err := streamtask.Save(ctx, "n", "seven"); err != nil {
		return nil, err
	}
	n, _, err := streamtask.Load[int](ctx, "n")
	return object{"loaded": n}, err
}
