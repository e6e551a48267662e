package streamtasktest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
)

// Ending is how a program has ended.
type Ending struct {
	ExitCode int
	// Result and Failure are the JSON of the lines of that name; nil without one.
	Result  json.RawMessage
	Failure json.RawMessage
	// Printed has the lines of standard output that say nothing to the host.
	Printed []string
	// Stderr is what would be in the log.
	Stderr string
}

// RunProgram runs a whole program, compiled for this machine, as the host runs it compiled
// for WebAssembly: `go run .` or the test's own binary. It differs in one thing: standard
// input is not at its end between two answers.
func (h *Host) RunProgram(program *exec.Cmd, input any) (*Ending, error) {
	var stderr bytes.Buffer
	program.Stderr = &stderr
	stdin, err := program.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := program.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := program.Start(); err != nil {
		return nil, err
	}
	h.converse(append(mustEncode(input), '\n'), stdin, stdout)
	err = program.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return &Ending{
		ExitCode: program.ProcessState.ExitCode(),
		Result:   h.result, Failure: h.failure, Printed: h.printed,
		Stderr: strings.TrimSpace(stderr.String()),
	}, nil
}

// converse answers until the program says nothing any more. That it does not read an answer
// is its own affair.
func (h *Host) converse(input []byte, stdin io.WriteCloser, stdout io.Reader) {
	defer stdin.Close()
	_, _ = stdin.Write(input)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if answer := h.take(line); answer != nil {
				_, _ = stdin.Write(append(answer, '\n'))
			}
		}
		if err != nil {
			return
		}
	}
}
