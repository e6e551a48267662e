package streamtask

// Progress is the progress of a run: the data of a "progress" event. [Step] and [Item]
// create it; values that are not set are omitted:
//
//	ctx.Progress(streamtask.Step(3).Total(10).Message("reading page 3"))
//
// For work in several parts, report a tree of items. Each event updates one item,
// identified by its ID; omitted values do not change. The host computes the progress of
// parents from their items by weight.
//
//	ctx.Progress(streamtask.Item("import").Message("Importing"))
//	ctx.Progress(streamtask.Item("fetch").Parent("import").Weight(1).Total(80))
//	ctx.Progress(streamtask.Item("index").Parent("import").Weight(3).Status(streamtask.Waiting))
type Progress struct {
	id      *string
	parent  *string
	weight  *float64
	status  *Status
	step    *int
	done    *int
	total   *int
	percent *float64
	message *string
}

// Status is the status of an item.
type Status string

const (
	// Waiting: it has not started.
	Waiting Status = "waiting"
	// Running: it is active.
	Running Status = "running"
	// Completed: it is done.
	Completed Status = "completed"
	// Failed: it failed.
	Failed Status = "failed"
	// Skipped: it turned out not to be needed; it counts as done.
	Skipped Status = "skipped"
)

// Step reports that a step is done, counted from 1.
func Step(step int) Progress { return Progress{step: &step} }

// Item updates the item with this ID; it creates it if it is new.
func Item(id string) Progress { return Progress{id: &id} }

// Parent sets the item that this one is a part of. An item without one is a root.
func (p Progress) Parent(id string) Progress { p.parent = &id; return p }

// Weight sets the weight of the item among its siblings; the default is 1.
func (p Progress) Weight(weight float64) Progress { p.weight = &weight; return p }

// Status sets the status of the item.
func (p Progress) Status(status Status) Progress { p.status = &status; return p }

// Done sets the part of the total that is done.
func (p Progress) Done(done int) Progress { p.done = &done; return p }

// Total sets the total amount of work.
func (p Progress) Total(total int) Progress { p.total = &total; return p }

// Percent sets the percentage that is done, for work that can't be counted.
func (p Progress) Percent(percent float64) Progress { p.percent = &percent; return p }

// Message is one line for people.
func (p Progress) Message(message string) Progress { p.message = &message; return p }

// MarshalJSON writes only the values that are set.
func (p Progress) MarshalJSON() ([]byte, error) {
	return encode(struct {
		ID      *string  `json:"id,omitempty"`
		Parent  *string  `json:"parent,omitempty"`
		Weight  *float64 `json:"weight,omitempty"`
		Status  *Status  `json:"status,omitempty"`
		Step    *int     `json:"step,omitempty"`
		Done    *int     `json:"done,omitempty"`
		Total   *int     `json:"total,omitempty"`
		Percent *float64 `json:"percent,omitempty"`
		Message *string  `json:"message,omitempty"`
	}{p.id, p.parent, p.weight, p.status, p.step, p.done, p.total, p.percent, p.message})
}

// Progress reports progress.
func (ctx *Context) Progress(progress Progress) error {
	return ctx.Send("progress", progress)
}
