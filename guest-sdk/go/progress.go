package streamtask

// Progress says how far a run is: the data of a "progress" event. It is made by [Step] or
// [Item], and says only what it was told:
//
//	ctx.Progress(streamtask.Step(3).Total(10).Message("reading page 3"))
//
// Work of several parts is a tree of items. Each event says something new about one item,
// known by its id; what it leaves out stays as it was. The host rolls the items up into
// their parents by weight.
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

// Status is where an item stands.
type Status string

const (
	// Waiting: it has not begun.
	Waiting Status = "waiting"
	// Running: it is under way.
	Running Status = "running"
	// Completed: it is done.
	Completed Status = "completed"
	// Failed: it did not succeed.
	Failed Status = "failed"
	// Skipped: it turned out not to be needed; it counts as done.
	Skipped Status = "skipped"
)

// Step says that a step is done, counted from 1.
func Step(step int) Progress { return Progress{step: &step} }

// Item says something new about the item with this id; the first time, a new item.
func Item(id string) Progress { return Progress{id: &id} }

// Parent is the item that this one is a part of. An item without one is a root.
func (p Progress) Parent(id string) Progress { p.parent = &id; return p }

// Weight is how much the item counts among its siblings; 1 if it is not said.
func (p Progress) Weight(weight float64) Progress { p.weight = &weight; return p }

// Status is where the item stands.
func (p Progress) Status(status Status) Progress { p.status = &status; return p }

// Done is how much of the total is done.
func (p Progress) Done(done int) Progress { p.done = &done; return p }

// Total is how much there is to do.
func (p Progress) Total(total int) Progress { p.total = &total; return p }

// Percent is how much is done, from 0 to 100, for work that can't be counted.
func (p Progress) Percent(percent float64) Progress { p.percent = &percent; return p }

// Message is one line for people.
func (p Progress) Message(message string) Progress { p.message = &message; return p }

// MarshalJSON writes only what was said.
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

// Progress says how far the run is.
func (ctx *Context) Progress(progress Progress) error {
	return ctx.Send("progress", progress)
}
