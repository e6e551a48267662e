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

// Ending is the outcome of a program.
type Ending struct {
	ExitCode int
	// Result and Failure are the JSON of the lines of that name; nil without one.
	Result  json.RawMessage
	Failure json.RawMessage
	// Printed has the lines of standard output that are not part of the protocol.
	Printed []string
	// Stderr is the output that would be in the log.
	Stderr string
}

// RunProgram runs a native program in the same way as the host runs it compiled for
// WebAssembly: `go run .` or the test's own binary. There is one difference: standard input
// does not report its end between two responses.
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

// converse responds until the program writes no more lines. It ignores responses that the
// program does not read.
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
