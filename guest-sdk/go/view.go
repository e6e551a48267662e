package streamtask

// View updates one element of the pages that follow the run: the one with
// data-stream="NAME".
type View struct {
	ctx    *Context
	target string
}

// View returns the updates of the element with this name.
func (ctx *Context) View(target string) View { return View{ctx, target} }

// Edge is the beginning or the end of what an element holds.
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

// Start says that the element is being written.
func (v View) Start() error { return v.send(viewUpdate{Op: "start"}) }

// Done says that the element is complete.
func (v View) Done() error { return v.send(viewUpdate{Op: "done"}) }

// Error says that it failed; what is there stays.
func (v View) Error(message string) error {
	return v.send(viewUpdate{Op: "error", Message: &message})
}

// Append adds text at the end. Text is never read as HTML.
func (v View) Append(text string) error { return v.send(viewUpdate{Op: "text", Text: &text}) }

// Prepend adds text at the beginning.
func (v View) Prepend(text string) error {
	return v.send(viewUpdate{Op: "text", Text: &text, Mode: "prepend"})
}

// Replace replaces what is there by text.
func (v View) Replace(text string) error {
	return v.send(viewUpdate{Op: "text", Text: &text, Mode: "replace"})
}

// HTML replaces what is there by HTML.
func (v View) HTML(html string) error { return v.send(viewUpdate{Op: "html", HTML: &html}) }

// Insert adds HTML at an edge.
func (v View) Insert(html string, at Edge) error {
	update := viewUpdate{Op: "insert", HTML: &html}
	if at == Top {
		update.At = "prepend"
	}
	return v.send(update)
}

// Remove removes what matches a CSS selector within the element.
func (v View) Remove(selector string) error {
	return v.send(viewUpdate{Op: "remove", Selector: selector})
}

// Prune removes children at an edge until so many are left.
func (v View) Prune(limit int, at Edge) error {
	return v.send(viewUpdate{Op: "prune", Limit: &limit, Edge: at})
}

// State hands the page's own code a value.
func (ctx *Context) State(state any) error {
	return ctx.Send("view", struct {
		Op    string `json:"op"`
		State any    `json:"state"`
	}{"state", state})
}
