package streamtask

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

// LevelTrace is below [slog.LevelDebug].
const LevelTrace = slog.LevelDebug - 4

// Log logs a message. It does not wait, and ignores the limit on the number of events,
// because logging must not fail a task.
func (ctx *Context) Log(level slog.Level, message string) {
	_ = ctx.Post("log", struct {
		Level   string `json:"level"`
		Message string `json:"message"`
	}{levelName(level), shorten(message)})
}

func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "trace"
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	}
	return "error"
}

// LogHandler makes a [slog.Logger] write to the log of the run. [Run] makes it the default,
// so that slog.Info and log.Print work. Attributes are added to the message as key=value.
func (ctx *Context) LogHandler(level slog.Leveler) slog.Handler {
	text := new(attributes)
	// The message is handled separately, and the time is that of the event.
	leave := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}
	inner := slog.NewTextHandler(&text.buffer, &slog.HandlerOptions{Level: LevelTrace, ReplaceAttr: leave})
	return &logHandler{ctx, level, text, inner}
}

type logHandler struct {
	ctx   *Context
	level slog.Leveler
	text  *attributes
	inner slog.Handler
}

// attributes is the buffer for the attributes of one record, shared by all handlers with
// the same prefix.
type attributes struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *logHandler) Handle(ctx context.Context, record slog.Record) error {
	h.text.mu.Lock()
	defer h.text.mu.Unlock()
	h.text.buffer.Reset()
	if err := h.inner.Handle(ctx, record); err != nil {
		return err
	}
	message := record.Message
	if text := strings.TrimSpace(h.text.buffer.String()); text != "" {
		message += " " + text
	}
	h.ctx.Log(record.Level, message)
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.ctx, h.level, h.text, h.inner.WithAttrs(attrs)}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.ctx, h.level, h.text, h.inner.WithGroup(name)}
}
