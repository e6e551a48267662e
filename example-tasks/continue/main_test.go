package main

import (
	"errors"
	"reflect"
	"testing"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
	"github.com/streamtask/streamtask/guest-sdk/go/streamtasktest"
)

func TestEachStepWaitsForItsSignal(t *testing.T) {
	host := streamtasktest.New()
	host.Signal("continue", "yes")
	host.Signal("continue", map[string]int{"n": 2})
	out, err := steps(host.Context(), Input{Steps: 3})
	if err != nil || out.Steps != 3 || len(out.Answers) != 2 || string(out.Answers[1]) != `{"n":2}` {
		t.Fatalf("%+v, %v", out, err)
	}
	want := []string{"progress", "waiting", "continued", "progress", "waiting", "continued", "progress"}
	if !reflect.DeepEqual(host.Types(), want) {
		t.Error(host.Types())
	}
}

func TestNobodyAnswers(t *testing.T) {
	host := streamtasktest.New()
	out, err := steps(host.Context(), Input{Steps: 2, TimeoutMS: 60_000})
	var failure *streamtask.Failure
	if !errors.As(err, &failure) || failure.Code != "no-answer" || out.Steps != 1 || host.Elapsed() != time.Minute {
		t.Errorf("%v after %v", err, host.Elapsed())
	}
}

func TestACancelledRunStopsWaiting(t *testing.T) {
	host := streamtasktest.New()
	host.CancelAfter = time.Second
	if _, err := steps(host.Context(), Input{Steps: 2}); err != streamtask.ErrCancelled {
		t.Error(err)
	}
}
