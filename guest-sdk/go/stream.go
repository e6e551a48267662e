package streamtask

import "context"

// Stream sends each value as a "progress" event and returns the last. With it, an iterator
// is a task in one line; the values are an [iter.Seq] or any function of that form:
//
//	func powers(ctx *streamtask.Context, count int) (uint64, error) {
//		return streamtask.Stream(ctx, func(yield func(uint64) bool) {
//			for n := 0; n < count && yield(1<<n); n++ {
//			}
//		})
//	}
//
// It ends with [ErrCancelled] when the run is cancelled.
//
// [iter.Seq]: https://pkg.go.dev/iter#Seq
func Stream[T any](ctx *Context, values func(yield func(T) bool)) (T, error) {
	return TryStream(ctx, func(yield func(T, error) bool) {
		values(func(value T) bool { return yield(value, nil) })
	})
}

// TryStream is like [Stream], for values that can fail: an iter.Seq2 with errors. It ends
// at the first error.
func TryStream[T any](ctx *Context, values func(yield func(T, error) bool)) (last T, err error) {
	values(func(value T, problem error) bool {
		if err = problem; err == nil {
			last, err = value, ctx.streamOne(value)
		}
		return err == nil
	})
	return last, err
}

// StreamChan is like [Stream], for values from a goroutine. It ends when the channel is
// closed.
func StreamChan[T any](ctx *Context, values <-chan T) (last T, err error) {
	for {
		select {
		case value, more := <-values:
			if !more {
				return last, nil
			}
			if err = ctx.streamOne(value); err != nil {
				return last, err
			}
			last = value
		case <-ctx.Done():
			return last, ErrCancelled
		}
	}
}

func (ctx *Context) streamOne(value any) error {
	if ctx.Err() == context.Canceled {
		return ErrCancelled
	}
	return ctx.Send("progress", value)
}
