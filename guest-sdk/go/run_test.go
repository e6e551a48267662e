package streamtask_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
	"github.com/streamtask/streamtask/guest-sdk/go/streamtasktest"
)

// asTask makes this test's own binary a task.
const asTask = "STREAMTASK_TEST_AS_TASK"

type order struct {
	Do    string `json:"do"`
	Count int    `json:"count"`
}

func (o *order) Validate() error {
	if o.Count < 0 {
		return errors.New("count is negative")
	}
	return nil
}

func TestMain(m *testing.M) {
	if os.Getenv(asTask) == "" {
		os.Exit(m.Run())
	}
	streamtask.Run(obey)
}

func obey(ctx *streamtask.Context, in order) (any, error) {
	switch in.Do {
	case "count":
		return in.Count, ctx.Send("count", in.Count)
	case "fail":
		failure := streamtask.Fail("printer", "no %s", "paper").Retry(1500 * time.Microsecond).With([]int{1})
		return nil, fmt.Errorf("page 3: %w", failure)
	case "be refused":
		return nil, ctx.Send("gap", nil)
	case "fail at length":
		return nil, streamtask.Fail("x", strings.Repeat("x", 2<<20)).With(strings.Repeat("x", 2<<20))
	case "return a function":
		return func() {}, nil
	case "return too much":
		return strings.Repeat("x", 2<<20), nil
	case "fail brokenly":
		return nil, streamtask.Fail("\xe4", "a\xf0\x9f\x8eb").With("\xe4")
	case "panic":
		panic("boom")
	case "print":
		fmt.Println(`{"result":"forged"}`)
		log.Print("by log")
	}
	return nil, nil
}

func run(t *testing.T, host *streamtasktest.Host, input any) *streamtasktest.Ending {
	t.Helper()
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), asTask+"=1")
	ending, err := host.RunProgram(program, input)
	must(t, err)
	return ending
}

func failure(t *testing.T, input any) map[string]any {
	t.Helper()
	ending := run(t, streamtasktest.New(), input)
	if ending.ExitCode != 1 {
		t.Errorf("exit code %d", ending.ExitCode)
	}
	var failure map[string]any
	must(t, json.Unmarshal(ending.Failure, &failure))
	return failure
}

func TestAProgramEndsWithItsResult(t *testing.T) {
	host := streamtasktest.New()
	ending := run(t, host, order{Do: "count", Count: 3})
	equal(t, ending.ExitCode, 0)
	equal(t, string(ending.Result), "3")
	equal(t, host.Data("count"), []string{"3"})
}

func TestAnInputThatDoesNotFitSaysWhere(t *testing.T) {
	for input, problem := range map[string]string{
		`{"count":"x"}`: "count has to be of type int, not string",
		`{"county":1}`:  `unknown field "county"`,
		`[]`:            "it has to be of type streamtask_test.order, not array",
		`{"count":-1}`:  "count is negative",
	} {
		equal(t, failure(t, json.RawMessage(input)), map[string]any{
			"code": "invalid-input", "message": "the input: " + problem,
		})
	}
	number, err := streamtask.ReadInput[struct{}]([]byte("[1]"))
	must(t, err)
	equal(t, number, struct{}{})
	empty, err := streamtask.ReadInput[order](nil)
	must(t, err)
	equal(t, empty, order{})
}

func TestErrorsBecomeFailuresThatSayAllTheyKnow(t *testing.T) {
	equal(t, failure(t, order{Do: "fail"}), map[string]any{
		"message": "page 3: no paper", "code": "printer", "details": []any{1.0}, "retryable": true,
		"retry_after_ms": 2.0,
	})
	equal(t, failure(t, order{Do: "fail brokenly"}), map[string]any{
		"message": "a\uFFFDb", "code": "\uFFFD", "details": "\uFFFD",
	})
	equal(t, failure(t, order{Do: "be refused"})["code"], "invalid-argument")
	equal(t, failure(t, order{Do: "return too much"})["code"], "too-large")
	if message := failure(t, order{Do: "return a function"})["message"].(string); !strings.Contains(message, "func()") {
		t.Error(message)
	}
	long := failure(t, order{Do: "fail at length"})
	if len(long["message"].(string)) > 70_000 || !strings.Contains(long["details"].(string), "larger than") {
		t.Errorf("%.200v", long)
	}
}

func TestAPanicIsAPanicAndTheHostHearsOfIt(t *testing.T) {
	ending := run(t, streamtasktest.New(), order{Do: "panic"})
	equal(t, ending.ExitCode, 2)
	equal(t, string(ending.Failure), `{"message":"panic: boom","code":"panic"}`)
	// With the place where it came from.
	if !strings.Contains(ending.Stderr, "panic: boom") || !strings.Contains(ending.Stderr, "run_test.go") {
		t.Error(ending.Stderr)
	}
}

func TestWhatIsPrintedCanNotSpeakForTheTask(t *testing.T) {
	host := streamtasktest.New()
	ending := run(t, host, order{Do: "print"})
	equal(t, string(ending.Result), "null")
	equal(t, ending.Stderr, `{"result":"forged"}`)
	equal(t, host.Data("log"), []string{`{"level":"info","message":"by log"}`})
}
