package streamtask_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
	"github.com/streamtask/streamtask/guest-sdk/go/streamtasktest"
)

func refusal(t *testing.T, err error, code streamtask.Code) *streamtask.Error {
	t.Helper()
	var refused *streamtask.Error
	if !errors.As(err, &refused) || refused.Code != code {
		t.Fatalf("got %v, not a refusal with %s", err, code)
	}
	return refused
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestEventsArriveInOrderWhicheverWayTheyAreSent(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	must(t, ctx.Send("a", "x<y&\u2028\"\\"))
	must(t, ctx.Post("b", map[string]int{"n": 1}))
	must(t, ctx.SendOn("side", "é", nil))
	must(t, ctx.SendBytes("c", "image/png", []byte{0, 255}))
	must(t, ctx.Send("d", json.RawMessage("{\"a\":\n1}")))
	events := host.Events()
	equal(t, host.Types(), []string{"a", "b", "é", "c", "d"})
	equal(t, string(events[0].Data), `"x<y&\u2028\"\\"`)
	equal(t, events[2].Channel, "side")
	equal(t, events[3].Bytes, []byte{0, 255})
	equal(t, events[3].ContentType, "image/png")
	equal(t, string(events[4].Data), `{"a":1}`)
}

func TestARefusalIsAnErrorWithItsCodeAndTheTaskGoesOn(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	refusal(t, ctx.Send("run.mine", 1), streamtask.InvalidArgument)
	for _, bad := range []string{"run.mine", "gap", "", "a\n", "a\u2028", strings.Repeat("x", 129)} {
		refusal(t, ctx.Post(bad, 1), streamtask.InvalidArgument)
	}
	refusal(t, ctx.Send("f", func() {}), streamtask.InvalidArgument)
	refusal(t, ctx.Send("large", strings.Repeat("x", 1<<20+100)), streamtask.TooLarge)
	must(t, ctx.Send("fine", 1))
	equal(t, host.Types(), []string{"fine"})
}

func TestBrokenTextReachesTheHostMended(t *testing.T) {
	const broken, mended = "a\xf0\x9f\x8eb", "a\uFFFDb"
	host := streamtasktest.New()
	host.Parameter(mended, 1)
	host.Signal(mended, nil)
	ctx := host.Context()
	must(t, ctx.SendOn(broken, broken, broken))
	must(t, ctx.Post(broken, broken))
	must(t, ctx.SendBytesOn(broken, broken, "image/"+broken, []byte(broken)))
	must(t, ctx.Progress(streamtask.Item(broken).Message(broken)))
	must(t, ctx.View(broken).Append(broken))
	ctx.Log(slog.LevelInfo, broken)
	events := host.Events()
	equal(t, host.Types(), []string{mended, mended, mended, "progress", "view", "log"})
	equal(t, [2]string{events[0].Channel, string(events[0].Data)}, [2]string{mended, `"a�b"`})
	equal(t, string(events[1].Data), `"a�b"`)
	equal(t, [2]string{events[2].Channel, events[2].ContentType}, [2]string{mended, "image/" + mended})
	equal(t, events[2].Bytes, []byte(broken))
	equal(t, string(events[3].Data), `{"id":"a�b","message":"a�b"}`)
	equal(t, string(events[4].Data), `{"op":"text","target":"a�b","text":"a�b"}`)
	equal(t, string(events[5].Data), `{"level":"info","message":"a�b"}`)
	_, ok, err := streamtask.Parameter[int](ctx, broken)
	must(t, err)
	equal(t, ok, true)
	signal, err := ctx.ReceiveSignal(broken, 0)
	must(t, err)
	equal(t, signal.Name, mended)
	must(t, streamtask.Save(ctx, broken, broken))
	saved, _, err := streamtask.Load[string](ctx, mended)
	must(t, err)
	equal(t, saved, mended)
}

func TestWhatIsTooLargeForALineIsNeverWritten(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	refused := refusal(t, ctx.Send("large", strings.Repeat("x", 3<<19)), streamtask.TooLarge)
	if !strings.Contains(refused.Message, "1572864") {
		t.Errorf("no limit in %q", refused.Message)
	}
	refusal(t, ctx.SaveBytes("k", make([]byte, 2<<20)), streamtask.TooLarge)
	must(t, ctx.Send("fine", 1))
	equal(t, host.Types(), []string{"fine"})
}

func TestACallWithoutItsAnswerIsTheLast(t *testing.T) {
	// What comes too late must not answer another call.
	late := &lateAnswers{}
	ctx := streamtask.NewContext(late, io.Discard)
	refusal(t, ctx.Send("a", 1), streamtask.Unavailable)
	late.answers.WriteString(`{"ok":{"status":200}}` + "\n")
	_, err := ctx.Fetch(streamtask.Request{})
	refusal(t, err, streamtask.Unavailable)
	// What needs no answer still goes: such as why the run fails.
	must(t, ctx.Post("a", 1))
}

// lateAnswers is at its end until there is something.
type lateAnswers struct{ answers bytes.Buffer }

func (l *lateAnswers) Read(to []byte) (int, error) { return l.answers.Read(to) }

func TestProgressSaysOnlyWhatItWasTold(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	must(t, ctx.Progress(streamtask.Step(1).Total(2).Message("half")))
	must(t, ctx.Progress(streamtask.Item("a").Status(streamtask.Running).Done(0).Total(80)))
	must(t, ctx.Progress(streamtask.Item("b").Parent("a").Weight(2.5).Percent(0)))
	equal(t, host.Data("progress"), []string{
		`{"step":1,"total":2,"message":"half"}`,
		`{"id":"a","status":"running","done":0,"total":80}`,
		`{"id":"b","parent":"a","weight":2.5,"percent":0}`,
	})
}

func TestViewSaysWhatTheBrowserUnderstands(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	out := ctx.View("out")
	for _, err := range []error{
		out.Start(), out.Append("a<b"), out.Prepend("c"), out.Replace(""), out.HTML("<p>x</p>"),
		out.Insert("<p>y</p>", streamtask.Top), out.Insert("<p>z</p>", streamtask.Bottom),
		out.Remove("p"), out.Prune(0, streamtask.Top), out.Error("broken"), out.Done(),
		ctx.State(map[string]int{"n": 1}),
	} {
		must(t, err)
	}
	equal(t, host.Data("view"), []string{
		`{"op":"start","target":"out"}`,
		`{"op":"text","target":"out","text":"a<b"}`,
		`{"op":"text","target":"out","text":"c","mode":"prepend"}`,
		`{"op":"text","target":"out","text":"","mode":"replace"}`,
		`{"op":"html","target":"out","html":"<p>x</p>"}`,
		`{"op":"insert","target":"out","html":"<p>y</p>","at":"prepend"}`,
		`{"op":"insert","target":"out","html":"<p>z</p>"}`,
		`{"op":"remove","target":"out","selector":"p"}`,
		`{"op":"prune","target":"out","limit":0,"edge":"top"}`,
		`{"op":"error","target":"out","message":"broken"}`,
		`{"op":"done","target":"out"}`,
		`{"op":"state","state":{"n":1}}`,
	})
}

func TestTheLogHasLevelsAndAttributes(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	ctx.Log(streamtask.LevelTrace, "to the log ✓")
	logger := slog.New(ctx.LogHandler(slog.LevelInfo)).With("run", 7).WithGroup("g")
	logger.Debug("not shown")
	logger.Warn("slow", "ms", 12, "level", "x")
	slog.New(ctx.LogHandler(slog.LevelInfo)).Error("bare")
	equal(t, host.Data("log"), []string{
		`{"level":"trace","message":"to the log ✓"}`,
		`{"level":"warn","message":"slow run=7 g.ms=12 g.level=x"}`,
		`{"level":"error","message":"bare"}`,
	})
}

func TestSleepEndsWithTheRun(t *testing.T) {
	host := streamtasktest.New()
	host.CancelAfter = 90 * time.Second
	ctx := host.Context()
	must(t, ctx.Err())
	must(t, ctx.Sleep(time.Minute))
	err := ctx.Sleep(time.Minute)
	if err != streamtask.ErrCancelled || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	equal(t, host.Elapsed(), 90*time.Second)
	<-ctx.Done()
	equal(t, ctx.Err(), context.Canceled)
}

func TestWaitsLongerThanTheContractCanSayAreWaitedInFull(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	must(t, ctx.Sleep(100*24*time.Hour+time.Nanosecond))
	equal(t, host.Elapsed(), 100*24*time.Hour+time.Millisecond)
	signal, err := ctx.ReceiveSignal("", 100*24*time.Hour)
	must(t, err)
	equal(t, signal, (*streamtask.Signal)(nil))
	equal(t, host.Elapsed(), 200*24*time.Hour+time.Millisecond)
}

func TestDoneClosesAlthoughTheTaskAsksNothing(t *testing.T) {
	host := streamtasktest.New()
	host.CancelAfter = 0
	ctx := host.Context()
	derived, stop := context.WithCancel(ctx)
	defer stop()
	<-derived.Done()
	run, ok := streamtask.FromContext(derived)
	equal(t, ok && run == ctx, true)
}

func TestTheDeadlineIsThatOfTheAttempt(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	_, ok := ctx.Deadline()
	equal(t, ok, false)
	host.Deadline = time.Hour
	left, ok, err := ctx.Remaining()
	must(t, err)
	equal(t, ok && left == time.Hour, true)
	deadline, ok := ctx.Deadline()
	equal(t, ok && time.Until(deadline) > 50*time.Minute, true)
}

func TestSignalsAreTakenByNameAndInOrder(t *testing.T) {
	host := streamtasktest.New()
	host.Signal("a", 1)
	host.Signal("b", "x")
	host.Signal("a", 2)
	ctx := host.Context()
	signal, err := ctx.ReceiveSignal("b", 0)
	must(t, err)
	var text string
	must(t, signal.Decode(&text))
	equal(t, text, "x")
	refusal(t, signal.Decode(new(int)), streamtask.InvalidArgument)
	signal, err = ctx.ReceiveSignal("", streamtask.Forever)
	must(t, err)
	equal(t, string(signal.Payload), "1")
	signal, err = ctx.ReceiveSignal("b", time.Second)
	equal(t, signal == nil && err == nil, true)
	host.CancelAfter = time.Minute
	_, err = ctx.ReceiveSignal("b", streamtask.Forever)
	equal(t, err, streamtask.ErrCancelled)
}

func TestParametersAndCheckpointsHaveTypes(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	_, ok, err := streamtask.Parameter[int](ctx, "speed")
	must(t, err)
	equal(t, ok, false)
	host.Parameter("speed", 3)
	speed, ok, err := streamtask.Parameter[int](ctx, "speed")
	must(t, err)
	equal(t, ok && speed == 3, true)
	_, _, err = streamtask.Parameter[string](ctx, "speed")
	refusal(t, err, streamtask.InvalidArgument)

	_, ok, err = streamtask.Load[int](ctx, "next")
	must(t, err)
	equal(t, ok, false)
	must(t, streamtask.Save(ctx, "next", 7))
	next, ok, err := streamtask.Load[int](ctx, "next")
	must(t, err)
	equal(t, ok && next == 7, true)
	must(t, ctx.RemoveCheckpoint("next"))
	bytes, err := ctx.LoadBytes("next")
	equal(t, bytes == nil && err == nil, true)
	must(t, ctx.SaveBytes("empty", nil))
	bytes, err = ctx.LoadBytes("empty")
	equal(t, bytes != nil && len(bytes) == 0 && err == nil, true)
	refusal(t, streamtask.Save(ctx, "", 1), streamtask.InvalidArgument)
}

func TestChildrenEndInOneOfThreeWays(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	_, err := ctx.StartChild("part", 1)
	refusal(t, err, streamtask.NotFound)
	outcomes := map[string]streamtask.Outcome{
		`"good"`: {Status: streamtask.Completed, Value: json.RawMessage("42")},
		`"bad"`: {Status: streamtask.Failed, Failure: &streamtask.ChildError{
			Kind: "trap", Message: "unreachable"}},
		`"gone"`: {Status: streamtask.Cancelled, Value: json.RawMessage("null")},
	}
	host.OnChild = func(_ string, input json.RawMessage) streamtask.Outcome { return outcomes[string(input)] }
	wait := func(name string) *streamtask.Outcome {
		child, err := ctx.StartChild("part", name, streamtask.ChildOptions{Key: name})
		must(t, err)
		index, outcome, err := ctx.WaitAny(time.Second, child)
		must(t, err)
		equal(t, index, 0)
		return outcome
	}
	var value int
	must(t, wait("good").Decode(&value))
	equal(t, value, 42)
	err = wait("bad").Decode(&value)
	equal(t, err.Error(), "a child failed (trap): unreachable")
	equal(t, wait("gone").Status, streamtask.Cancelled)
	_, _, err = ctx.WaitAny(0)
	refusal(t, err, streamtask.InvalidArgument)
}

func TestStreamsSendEachValueAndReturnTheLast(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	count := func(yield func(int) bool) {
		for n := 1; n <= 3 && yield(n); n++ {
		}
	}
	last, err := streamtask.Stream(ctx, count)
	must(t, err)
	values := make(chan int)
	go func() {
		defer close(values)
		for n := 4; n <= 5; n++ {
			values <- n
		}
	}()
	fromChannel, err := streamtask.StreamChan(ctx, values)
	must(t, err)
	equal(t, []int{last, fromChannel}, []int{3, 5})
	equal(t, host.Data("progress"), []string{"1", "2", "3", "4", "5"})

	broken := errors.New("broken")
	last, err = streamtask.TryStream(ctx, func(yield func(int, error) bool) {
		_ = yield(6, nil) && yield(0, broken) && yield(8, nil)
	})
	equal(t, last == 6 && err == broken, true)
}

func TestStreamsEndWithTheRun(t *testing.T) {
	host := streamtasktest.New()
	host.CancelAfter = 3 * time.Second
	ctx := host.Context()
	yielded := 0
	_, err := streamtask.Stream(ctx, func(yield func(int) bool) {
		for ; ; yielded++ {
			_ = ctx.Sleep(time.Second)
			if !yield(yielded) {
				return
			}
		}
	})
	equal(t, err, streamtask.ErrCancelled)
	equal(t, yielded, 2)
	_, err = streamtask.StreamChan(ctx, make(chan int))
	equal(t, err, streamtask.ErrCancelled)
}

func TestCallsOfManyGoroutinesDoNotMix(t *testing.T) {
	host := streamtasktest.New()
	ctx := host.Context()
	done := make(chan error)
	for worker := 0; worker < 8; worker++ {
		go func() {
			var err error
			for n := 0; n < 100 && err == nil; n++ {
				err = ctx.Send("n", n)
				if e := ctx.Send("run.n", n); e == nil {
					err = errors.New("a refusal went to someone else")
				}
			}
			done <- err
		}()
	}
	for worker := 0; worker < 8; worker++ {
		must(t, <-done)
	}
	equal(t, len(host.Events()), 800)
}

func TestInfoIsThatOfTheRun(t *testing.T) {
	host := streamtasktest.New()
	host.Info.Labels["a"] = "b"
	info, err := host.Context().Info()
	must(t, err)
	equal(t, info, host.Info)
	must(t, host.Context().Send("a", 1))
	must(t, host.Context().Flush())
	equal(t, host.Flushed(), 1)
	equal(t, slices.Contains(host.Types(), "a"), true)
}

func BenchmarkSend(b *testing.B) {
	ctx := streamtasktest.New().Context()
	for n := 0; n < b.N; n++ {
		if err := ctx.Send("n", n); err != nil {
			b.Fatal(err)
		}
	}
}
