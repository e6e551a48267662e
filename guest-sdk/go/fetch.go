package streamtask

import "time"

// Request is an HTTP request that the host sends for the task, if its manifest grants it.
// Package taskhttp uses it to implement [net/http].
type Request struct {
	Method string
	URL    string
	// Headers are names and values, in order.
	Headers [][2]string
	Body    []byte
	// Timeout is for the whole exchange; 0 uses the host's default.
	Timeout time.Duration
}

// Response is the response to a request.
type Response struct {
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"`
	Body    []byte      `json:"base64"`
}

// Fetch sends a request and returns the complete response, of at most 8 MiB. A response
// with an error status is not an error.
func (ctx *Context) Fetch(request Request) (*Response, error) {
	call := struct {
		Method    string      `json:"method"`
		URL       string      `json:"url"`
		Headers   [][2]string `json:"headers,omitempty"`
		Base64    []byte      `json:"base64,omitempty"`
		TimeoutMS *int64      `json:"timeout_ms,omitempty"`
	}{request.Method, request.URL, request.Headers, request.Body, nil}
	if request.Timeout > 0 {
		call.TimeoutMS = timeLimit(request.Timeout)
	}
	response, err := callFor[*Response](ctx, "http-request", call)
	if err == nil && response == nil {
		err = &Error{Internal, "the host returned an empty response to a request"}
	}
	return response, err
}
