package streamtask

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"
)

// mendText replaces each invalid sequence of a text by U+FFFD. A sequence is its maximal
// subpart, as in browsers and Rust: an emoji without its last byte is one sequence, while
// Go itself counts each byte.
func mendText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var mended strings.Builder
	for len(text) > 0 {
		char, size := utf8.DecodeRuneInString(text)
		if char == utf8.RuneError && size == 1 {
			size = subpart(text)
		}
		mended.WriteRune(char)
		text = text[size:]
	}
	return mended.String()
}

// subpart returns the length of the invalid sequence at the start of a text.
func subpart(text string) int {
	low, high, size := byte(0x80), byte(0xBF), 0
	switch lead := text[0]; {
	case lead >= 0xC2 && lead <= 0xDF:
		size = 2
	case lead >= 0xE0 && lead <= 0xEF:
		size = 3
	case lead >= 0xF0 && lead <= 0xF4:
		size = 4
	}
	// No overlong forms, no surrogates, nothing beyond U+10FFFF.
	switch text[0] {
	case 0xE0:
		low = 0xA0
	case 0xED:
		high = 0x9F
	case 0xF0:
		low = 0x90
	case 0xF4:
		high = 0x8F
	}
	n := 1
	for n < min(size, len(text)) && text[n] >= low && text[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return n
}

// mayBeBroken reports whether JSON from encoding/json may stem from invalid text. It then
// contains the replacement character in one of its two forms, or invalid output of a
// json.Marshaler.
func mayBeBroken(encoded []byte) bool {
	return !utf8.Valid(encoded) || bytes.Contains(encoded, []byte("\uFFFD")) ||
		bytes.Contains(encoded, []byte(`\ufffd`))
}

var (
	marshaler     = reflect.TypeOf((*json.Marshaler)(nil)).Elem()
	textMarshaler = reflect.TypeOf((*encoding.TextMarshaler)(nil)).Elem()
)

// mendValue returns a copy of a value with all its texts repaired, except in values that
// marshal themselves. It is only called for values that were already encoded, so there are
// no cycles.
func mendValue(value any) any {
	if value == nil {
		return nil
	}
	mended := copied(reflect.ValueOf(value))
	mendIn(mended)
	return mended.Interface()
}

func copied(value reflect.Value) reflect.Value {
	made := reflect.New(value.Type()).Elem()
	made.Set(value)
	return made
}

func mendIn(value reflect.Value) {
	kind, pointer := value.Kind(), reflect.PointerTo(value.Type())
	if kind != reflect.Interface && (pointer.Implements(marshaler) || pointer.Implements(textMarshaler)) {
		return
	}
	switch {
	case kind == reflect.Struct:
		for i := 0; i < value.NumField(); i++ {
			mendIn(value.Field(i))
		}
	case kind == reflect.Array:
		mendItems(value)
	case !value.CanSet() || value.IsZero():
		// Unexported fields are not encoded.
	case kind == reflect.String:
		value.SetString(mendText(value.String()))
	case kind == reflect.Slice && value.Type().Elem().Kind() != reflect.Uint8:
		value.Set(reflect.AppendSlice(reflect.MakeSlice(value.Type(), 0, value.Len()), value))
		mendItems(value)
	case kind == reflect.Interface:
		mended := copied(value.Elem())
		mendIn(mended)
		value.Set(mended)
	case kind == reflect.Pointer:
		mended := reflect.New(value.Type().Elem())
		mended.Elem().Set(value.Elem())
		mendIn(mended.Elem())
		value.Set(mended)
	case kind == reflect.Map:
		mendMap(value)
	}
}

func mendItems(list reflect.Value) {
	for i := 0; i < list.Len(); i++ {
		mendIn(list.Index(i))
	}
}

func mendMap(value reflect.Value) {
	mended := reflect.MakeMapWithSize(value.Type(), value.Len())
	for entries := value.MapRange(); entries.Next(); {
		key, item := copied(entries.Key()), copied(entries.Value())
		mendIn(key)
		mendIn(item)
		mended.SetMapIndex(key, item)
	}
	value.Set(mended)
}

// shorten limits the length of log and failure messages, because the host rejects lines
// that are too long.
func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	end := maxMessage
	for end > maxMessage-utf8.UTFMax && !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end] + "…"
}

const maxMessage = 64 << 10
