package streamtask

// View updates the element with data-stream="NAME" on web pages that follow the run.
type View struct {
	ctx    *Context
	target string
}

// View returns the view of the element with this name.
func (ctx *Context) View(target string) View { return View{ctx, target} }

// Edge is the beginning or the end of an element's content.
type Edge string

const (
	// Top is the beginning.
	Top Edge = "top"
	// Bottom is the end.
	Bottom Edge = "bottom"
)

// viewUpdate is the data of a "view" event.
type viewUpdate struct {
	Op       string  `json:"op"`
	Target   string  `json:"target,omitempty"`
	Text     *string `json:"text,omitempty"`
	HTML     *string `json:"html,omitempty"`
	Mode     string  `json:"mode,omitempty"`
	At       string  `json:"at,omitempty"`
	Selector string  `json:"selector,omitempty"`
	Limit    *int    `json:"limit,omitempty"`
	Edge     Edge    `json:"edge,omitempty"`
	Message  *string `json:"message,omitempty"`
}

func (v View) send(update viewUpdate) error {
	update.Target = v.target
	return v.ctx.Send("view", update)
}

// Start marks the element as being written.
func (v View) Start() error { return v.send(viewUpdate{Op: "start"}) }

// Done marks the element as complete.
func (v View) Done() error { return v.send(viewUpdate{Op: "done"}) }

// Error marks the element as failed; its content stays.
func (v View) Error(message string) error {
	return v.send(viewUpdate{Op: "error", Message: &message})
}

// Append adds plain text at the end.
func (v View) Append(text string) error { return v.send(viewUpdate{Op: "text", Text: &text}) }

// Prepend adds plain text at the beginning.
func (v View) Prepend(text string) error {
	return v.send(viewUpdate{Op: "text", Text: &text, Mode: "prepend"})
}

// Replace replaces the content by plain text.
func (v View) Replace(text string) error {
	return v.send(viewUpdate{Op: "text", Text: &text, Mode: "replace"})
}

// HTML replaces the content by HTML. Escape all data in it.
func (v View) HTML(html string) error { return v.send(viewUpdate{Op: "html", HTML: &html}) }

// Insert adds HTML at an edge. Escape all data in it.
func (v View) Insert(html string, at Edge) error {
	update := viewUpdate{Op: "insert", HTML: &html}
	if at == Top {
		update.At = "prepend"
	}
	return v.send(update)
}

// Remove removes the elements in it that match a CSS selector.
func (v View) Remove(selector string) error {
	return v.send(viewUpdate{Op: "remove", Selector: selector})
}

// Prune removes child elements at an edge until limit are left.
func (v View) Prune(limit int, at Edge) error {
	return v.send(viewUpdate{Op: "prune", Limit: &limit, Edge: at})
}

// State sends a value to the page's own code.
func (ctx *Context) State(state any) error {
	return ctx.Send("view", struct {
		Op    string `json:"op"`
		State any    `json:"state"`
	}{"state", state})
}
