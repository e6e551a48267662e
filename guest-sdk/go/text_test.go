package streamtask

import (
	"encoding/json"
	"testing"
)

func TestEachBrokenSequenceIsReplacedOnce(t *testing.T) {
	const r = "\uFFFD"
	for broken, want := range map[string]string{
		"":                     "",
		"fine é 漢 🎉 " + r:      "fine é 漢 🎉 " + r,
		"a\xf0\x9f\x8e":        "a" + r,
		"a\xf0\x9f\x8eb":       "a" + r + "b",
		"a\xe4bc":              "a" + r + "bc",
		"\xe4\xc3\xa9":         r + "é",
		"\xf0\x9f\xf0\x9f\x8e": r + r,
		// What begins no character counts by itself: see table 3-8 of the Unicode Standard.
		"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82A":            r + r + r + r + r + r + r + r + "A",
		"\xed\xa0\x80\xed\xbf\xbf\xed\xafA":            r + r + r + r + r + r + r + r + "A",
		"\xf4\x91\x92\x93\xffA\x80\xbfB":               r + r + r + r + r + "A" + r + r + "B",
		"\xe1\x80\xe2\xf0\x91\x92\xf1\xbfA":            r + r + r + r + "A",
		"\x7f\u0080\u07ff\u0800\ud7ff\ue000\U0010ffff": "\x7f\u0080\u07ff\u0800\ud7ff\ue000\U0010ffff",
	} {
		if got := mendText(broken); got != want {
			t.Errorf("%q: got %q, want %q", broken, got, want)
		}
	}
}

type inner struct {
	Text  string `json:"text"`
	other string
}

type textKey string

type written string

func (w written) MarshalJSON() ([]byte, error) { return []byte(`"` + string(w) + `"`), nil }

type outer struct {
	inner
	Point  *inner            `json:"point"`
	Any    any               `json:"any"`
	None   any               `json:"none"`
	List   []string          `json:"list"`
	Empty  []string          `json:"empty"`
	Fixed  [1]string         `json:"fixed"`
	Map    map[textKey]inner `json:"map"`
	Bytes  []byte            `json:"bytes"`
	Writes written           `json:"writes"`
	Raw    json.RawMessage   `json:"raw"`
}

func TestBrokenTextIsMendedWhereverItStands(t *testing.T) {
	const broken = "a\xf0\x9f\x8eb"
	value := outer{
		inner: inner{broken, broken}, Point: &inner{Text: broken}, Any: []any{broken, 1, nil}, List: []string{broken},
		Empty: []string{}, Fixed: [1]string{broken}, Map: map[textKey]inner{broken: {Text: broken}}, Bytes: []byte(broken),
		Writes: broken, Raw: json.RawMessage(`{"x":"` + broken + `"}`),
	}
	encoded, err := encode(&value)
	const want = `{"text":"a�b","point":{"text":"a�b"},"any":["a�b",1,null],"none":null,"list":["a�b"],"empty":[],` +
		`"fixed":["a�b"],"map":{"a�b":{"text":"a�b"}},"bytes":"YfCfjmI=","writes":"a�b","raw":{"x":"a�b"}}`
	if err != nil || string(encoded) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, encoded, want)
	}
	// The task's own is as it was.
	if value.Text != broken || value.Point.Text != broken || value.List[0] != broken || value.Map[broken].Text != broken {
		t.Errorf("changed: %+v", value)
	}
}

func TestMendingLeavesNilsAndFineTextAlone(t *testing.T) {
	for value, want := range map[any]string{
		nil: "null", "\uFFFD": `"�"`, (*inner)(nil): "null", [1]error{}: "[null]", `\ufffd`: `"\\ufffd"`,
	} {
		encoded, err := encode(value)
		if err != nil || string(encoded) != want {
			t.Errorf("%v: got %s, %v", value, encoded, err)
		}
	}
	if encoded, _ := encode([][]string{nil, {"\xff"}}); string(encoded) != `[null,["�"]]` {
		t.Errorf("%s", encoded)
	}
}

func BenchmarkEncode(b *testing.B) {
	value := map[string]any{"step": 3, "message": "reading page 3 of the list, é", "rows": []int{1, 2, 3}}
	for i := 0; i < b.N; i++ {
		if err := withJSON(value, func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
