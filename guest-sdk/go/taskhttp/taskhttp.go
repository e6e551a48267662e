// Package taskhttp makes net/http work in a task. Imported for its side effect, it lets the
// host send the requests of [http.DefaultClient] and of every client without its own
// transport, if the task's manifest grants them:
//
//	import _ "github.com/streamtask/streamtask/guest-sdk/go/taskhttp"
//
// Requests and responses are not streamed, and limited by the protocol: a request to 1 MiB,
// a response to 8 MiB.
package taskhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sort"
	"time"

	streamtask "github.com/streamtask/streamtask/guest-sdk/go"
	"github.com/streamtask/streamtask/guest-sdk/go/internal/start"
)

func init() {
	start.Hooks = append(start.Hooks, func(ctx any) {
		http.DefaultTransport = Transport(ctx.(*streamtask.Context))
	})
}

// Transport returns a transport for clients of net/http. Run sets it as the default.
func Transport(ctx *streamtask.Context) http.RoundTripper { return transport{ctx} }

type transport struct{ ctx *streamtask.Context }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	// The interface requires that the body is always closed.
	body, err := readBody(request)
	if err != nil {
		return nil, err
	}
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	call := streamtask.Request{
		Method: request.Method, URL: request.URL.String(), Headers: list(request.Header), Body: body,
	}
	if call.Method == "" {
		call.Method = http.MethodGet
	}
	if deadline, ok := request.Context().Deadline(); ok {
		// Zero would mean no limit.
		call.Timeout = max(time.Until(deadline), time.Millisecond)
	}
	answer, err := t.ctx.Fetch(call)
	if err != nil {
		return nil, err
	}
	return response(request, answer), nil
}

func readBody(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	defer request.Body.Close()
	return io.ReadAll(request.Body)
}

// list sorts headers, so that their order is deterministic.
func list(header http.Header) [][2]string {
	var headers [][2]string
	for name, values := range header {
		for _, value := range values {
			headers = append(headers, [2]string{name, value})
		}
	}
	sort.SliceStable(headers, func(i, j int) bool { return headers[i][0] < headers[j][0] })
	return headers
}

func response(request *http.Request, answer *streamtask.Response) *http.Response {
	header := make(http.Header, len(answer.Headers))
	for _, pair := range answer.Headers {
		header.Add(pair[0], pair[1])
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", answer.Status, http.StatusText(answer.Status)),
		StatusCode: answer.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(answer.Body)),
		ContentLength: int64(len(answer.Body)),
		Request:       request,
	}
}
