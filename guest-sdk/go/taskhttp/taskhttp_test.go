package taskhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
	"github.com/streamtask/streamtask/guest-sdk/go/streamtasktest"
	"github.com/streamtask/streamtask/guest-sdk/go/taskhttp"
)

func TestRequestsAreMadeByTheHost(t *testing.T) {
	host := streamtasktest.New()
	var seen streamtask.Request
	host.OnRequest = func(request streamtask.Request) (*streamtask.Response, *streamtask.Error) {
		seen = request
		return &streamtask.Response{Status: 201, Headers: [][2]string{{"x-a", "1"}, {"x-a", "2"}}, Body: []byte("made")}, nil
	}
	client := http.Client{Transport: taskhttp.Transport(host.Context()), Timeout: time.Minute}
	response, err := client.Post("https://example.org/x", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	if response.Status != "201 Created" || string(body) != "made" || len(response.Header.Values("X-A")) != 2 {
		t.Errorf("%+v %s", response, body)
	}
	if seen.Timeout <= 50*time.Second || seen.Timeout > time.Minute {
		t.Errorf("a limit of %v", seen.Timeout)
	}
	seen.Timeout = 0
	want := streamtask.Request{
		Method: "POST", URL: "https://example.org/x", Body: []byte("body"),
		Headers: [][2]string{{"Content-Type", "text/plain"}},
	}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("%+v", seen)
	}
}

func TestARefusalAndACancelAreErrorsOfTheRequest(t *testing.T) {
	host := streamtasktest.New()
	client := http.Client{Transport: taskhttp.Transport(host.Context())}
	_, err := client.Get("https://example.org/")
	var refused *streamtask.Error
	if !errors.As(err, &refused) || refused.Code != streamtask.Denied {
		t.Errorf("%v", err)
	}
	host.CancelAfter = 0
	request, _ := http.NewRequestWithContext(host.Context(), "GET", "https://example.org/", nil)
	if _, err := client.Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
