//! What a guest may send, and a careless host would break a stream with.

/// JSON texts, to be sent as data. None has a line break between its tokens, so each
/// has to arrive to the byte.
pub fn data() -> Vec<String> {
    let mut texts: Vec<String> = [
        r#""a\nb\rc\r\nd""#,
        r#""\n\n""#,
        r#""\ndata: forged\nevent: run.completed\nid: 99\nretry: 1\n\n""#,
        r#""data: x""#,
        r#""\u0000\u0001\u001f\u007f""#,
        "\"\u{feff}begins and ends with a byte order mark\u{feff}\"",
        "\"\u{2028}\u{2029}\u{85}\"",
        "\"\u{7f}\u{fffd}\u{ffff}\u{10ffff}\"",
        r#""\ud83d\ude00 😀 \\ \" \/ \b\f\t""#,
        " \t 1 \t ",
        "18446744073709551616",
        "-0.0",
        "1E+2",
        "null",
        "[]",
        r#"{"":{"":[]}}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"type":"run.completed","seq":0}"#,
        r#""</script><!--""#,
    ]
    .map(str::to_owned)
    .into();
    texts.push(format!("{}1{}", "[".repeat(120), "]".repeat(120)));
    // As large as an event may be, unless the operator says otherwise.
    texts.push(format!("\"{}\"", r"\n\ndata: \r".repeat(((1 << 20) - 2) / 12)));
    texts.push(format!("\"{}\"", "é".repeat((1 << 19) - 1)));
    texts
}

/// How it arrives: what some readers take for the end of a line is escaped, which means the same.
pub fn arrived(text: &str) -> String {
    text.replace('\u{85}', r"\u0085").replace('\u{2028}', r"\u2028").replace('\u{2029}', r"\u2029")
}

/// Event types.
pub fn types() -> Vec<String> {
    let mut types: Vec<String> = [
        "message",
        "open",
        "error",
        "complete",
        "close",
        "end",
        "id",
        "data",
        "retry",
        "event",
        ":",
        ": x",
        "a: b",
        " led by a space",
        "closed by one ",
        "\u{feff}led by a byte order mark",
        "\"quoted\\\"",
        "ü",
        "😀",
        ",",
        "__proto__",
    ]
    .map(str::to_owned)
    .into();
    types.push("x".repeat(128));
    types
}
