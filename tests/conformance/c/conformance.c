/* The conformance kit in C: each case as ../README.md has it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <streamtask.h>
#include <unistd.h>

static st_status invalid(const char *what) {
    return st_fail("invalid-input", "the input: %s", what);
}

static st_status number_of(st_json input, const char *key, int64_t *number) {
    return st_int(st_get(input, key), number) ? ST_OK : st_fail("invalid-input", "%s has to be an integer", key);
}

static char *text_of(st_json input, const char *key) {
    return st_string(st_get(input, key), NULL);
}

static st_status echo(st_json input) {
    return st_resultf("{\"value\":%j}", st_get(input, "value"));
}

static st_status events(st_json input) {
    int sent = 0;
    st_json all = st_get(input, "events");
    for (st_json each = {0}; (each = st_next(all, each)).at != NULL; sent++) {
        char *type = text_of(each, "type"), *channel = text_of(each, "channel");
        char *data = st_text(st_get(each, "data"));
        if (channel == NULL) {
            ST_TRY(st_send(type, data));
        } else {
            ST_TRY(st_send_on(channel, type, data));
        }
    }
    return st_resultf("{\"sent\":%d}", sent);
}

static st_status bytes(st_json input) {
    int64_t size;
    ST_TRY(number_of(input, "size", &size));
    uint8_t *picture = malloc((size_t)size + 1);
    if (picture == NULL) return st_fail("out-of-memory", "no room for %lld bytes", (long long)size);
    for (int64_t i = 0; i < size; i++) picture[i] = (uint8_t)(i % 251);
    ST_TRY(st_send_bytes(text_of(input, "channel"), "picture", text_of(input, "content_type"), picture,
                         (size_t)size));
    return st_resultf("{\"size\":%lld}", (long long)size);
}

static st_status return_refusal(st_status status) {
    if (status == ST_OK) return st_fail("not-refused", "the host took it");
    return st_resultf("{\"code\":%q,\"message\":%q}", st_status_name(status), st_last_error());
}

static st_status refused(st_json input) {
    (void)input;
    return return_refusal(st_send("run.mine", "1"));
}

static st_status too_large(st_json input) {
    int64_t size;
    ST_TRY(number_of(input, "size", &size));
    char *text = malloc((size_t)size + 1);
    if (text == NULL) return st_fail("out-of-memory", "no room for %lld bytes", (long long)size);
    memset(text, 'x', (size_t)size);
    text[size] = 0;
    return return_refusal(st_sendf("large", "%q", text));
}

static st_status many(st_json input) {
    int64_t n;
    ST_TRY(number_of(input, "n", &n));
    for (int64_t i = 0; i < n; i++) ST_TRY(st_sendf("n", "{\"i\":%lld}", (long long)i));
    return st_resultf("{\"sent\":%lld}", (long long)n);
}

static st_status flush(st_json input) {
    (void)input;
    ST_TRY(st_send("before", "null"));
    ST_TRY(st_flush());
    ST_TRY(st_send("after", "null"));
    return st_result("{\"flushed\":true}");
}

static st_status sleeps(st_json input) {
    int64_t ms;
    ST_TRY(number_of(input, "ms", &ms));
    ST_TRY(st_sleep((uint32_t)ms));
    return st_result("{\"slept\":true}");
}

static st_status info(st_json input) {
    (void)input;
    const st_info_data *info = st_info();
    char *labels = st_format("");
    for (size_t i = 0; i < info->labels; i++)
        labels = st_format("%s%s%q:%q", labels, i == 0 ? "" : ",", info->label_names[i],
                           info->label_values[i]);
    return st_resultf("{\"id\":%q,\"app\":%q,\"task\":%q,\"version\":%q,\"attempt\":%u,\"labels\":{%s}}",
                      info->id, info->app, info->task, info->version, info->attempt, labels);
}

static st_status remaining(st_json input) {
    (void)input;
    uint32_t ms;
    if (!st_remaining_ms(&ms)) return st_result("{\"remaining_ms\":null}");
    return st_resultf("{\"remaining_ms\":%u}", ms);
}

static st_status cancel(st_json input) {
    (void)input;
    ST_TRY(st_send("waiting", "{}"));
    while (st_sleep(60 * 1000) == ST_OK) {
    }
    ST_TRY(st_send("noticed", "{}"));
    return st_result("{\"partial\":true}");
}

static st_status receive(st_json input) {
    int64_t limit;
    uint32_t timeout = st_int(st_get(input, "timeout_ms"), &limit) ? (uint32_t)limit : ST_FOREVER;
    ST_TRY(st_send("waiting", "{}"));
    st_signal signal;
    st_status status = st_receive_signal(text_of(input, "name"), timeout, &signal);
    if (status == ST_TIMED_OUT) return st_result("{\"signal\":null}");
    ST_TRY(status);
    return st_resultf("{\"signal\":{\"name\":%q,\"payload\":%j}}", signal.name, signal.payload);
}

static st_status parameter(st_json input) {
    ST_TRY(st_send("waiting", "{}"));
    st_signal go;
    ST_TRY(st_receive_signal("go", ST_FOREVER, &go));
    st_json value = {0};
    st_parameter(text_of(input, "name"), &value);
    return st_resultf("{\"value\":%j}", value);
}

static st_status checkpoint(st_json input) {
    (void)input;
    st_json loaded, after;
    ST_TRY(st_load("step", &loaded));
    if (loaded.at == NULL) {
        ST_TRY(st_save("step", "{\"step\":1}"));
        return st_fail_with(&(st_failure){.code = "once-more", .message = "once more, please", .retryable = true});
    }
    ST_TRY(st_remove("step"));
    ST_TRY(st_load("step", &after));
    return st_resultf("{\"loaded\":%j,\"after\":%j}", loaded, after);
}

static st_status failure(st_json input) {
    st_failure why = {.message = text_of(input, "message"), .code = text_of(input, "code")};
    st_json details = st_get(input, "details");
    if (st_kind_of(details) > ST_NULL) why.details = st_text(details);
    st_bool(st_get(input, "retryable"), &why.retryable);
    int64_t after = 0;
    st_int(st_get(input, "retry_after_ms"), &after);
    why.retry_after_ms = (uint32_t)after;
    return st_fail_with(&why);
}

static st_status exception(st_json input) {
    (void)input;
    fprintf(stderr, "boom\n");
    abort();
}

static st_status log_lines(st_json input) {
    (void)input;
    ST_TRY(st_log(ST_WARN, "to the log ✓"));
    fprintf(stderr, "to stderr\n");
    return ST_OK;
}

static st_status progress(st_json input) {
    (void)input;
    ST_TRY(st_progress(.step = 1, .total = 2, .message = "half"));
    ST_TRY(st_progress(.id = "import", .status = "running", .total = 80, .done = 20));
    return st_progress(.id = "index", .parent = "import", .weight = 3, .status = "waiting");
}

static st_status view(st_json input) {
    (void)input;
    ST_TRY(st_view_start("out"));
    ST_TRY(st_view_text("out", "a<b"));
    ST_TRY(st_view_prepend("out", "c"));
    ST_TRY(st_view_html("out", "<p>x</p>"));
    ST_TRY(st_view_insert("out", "<p>y</p>", ST_TOP));
    ST_TRY(st_view_remove("out", "p"));
    ST_TRY(st_view_prune("out", 5, ST_TOP));
    ST_TRY(st_view_error("out", "broken"));
    ST_TRY(st_view_done("out"));
    return st_view_state("{\"n\":1}");
}

static char *next_number(void *state) {
    int *n = state;
    return *n == 3 ? NULL : st_format("{\"n\":%d}", ++*n);
}

static st_status generator(st_json input) {
    (void)input;
    int n = 0;
    return st_stream(next_number, &n);
}

static st_status typed_input(st_json input) {
    int64_t count;
    ST_TRY(number_of(input, "count", &count));
    char *name = "nobody";
    st_json given = st_get(input, "name");
    if (given.at != NULL && (name = st_string(given, NULL)) == NULL) return invalid("name has to be a string");
    return st_resultf("{\"count\":%lld,\"name\":%q}", (long long)count, name);
}

static st_status child(st_json input) {
    const char *run;
    ST_TRY(st_start_child(text_of(input, "task"), st_text(st_get(input, "input")), NULL, &run));
    st_outcome ended;
    ST_TRY(st_wait(run, &ended));
    switch (ended.how) {
    case ST_CHILD_COMPLETED: return st_resultf("{\"completed\":%j}", ended.value);
    case ST_CHILD_CANCELLED: return st_resultf("{\"cancelled\":%j}", ended.value);
    default:
        return st_resultf("{\"failed\":{\"kind\":%q,\"message\":%q,\"code\":%q}}", ended.kind,
                          ended.message, ended.code);
    }
}

/* All but the address may be left out: `method`, `headers`, `body`, `max_response`, `timeout_ms`. */
static st_status http(st_json input) {
    st_http_header headers[8] = {{"X-Kit", "yes"}};
    st_http_request request = {.url = text_of(input, "url"), .method = text_of(input, "method"),
                               .headers = headers, .header_count = 1};
    st_json more = st_get(input, "headers");
    for (st_json each = {0}; (each = st_next(more, each)).at != NULL && request.header_count < 8;)
        headers[request.header_count++] = (st_http_header){st_key_of(more, each), st_string(each, NULL)};
    int64_t limit;
    if (st_int(st_get(input, "max_response"), &limit)) request.max_response = (size_t)limit;
    if (st_int(st_get(input, "timeout_ms"), &limit)) request.timeout_ms = (uint32_t)limit;
    request.body = st_string(st_get(input, "body"), &request.body_len);
    st_http_response response;
    ST_TRY(st_http_send(&request, &response));
    st_status status = st_resultf("{\"status\":%d,\"body\":%q,\"location\":%q,\"bytes\":%zu}", response.status,
                                  response.body, st_http_header_of(&response, "Location"), response.body_len);
    st_http_free(&response);
    return status;
}

static st_status random_number(st_json input) {
    (void)input;
    uint32_t number;
    if (getentropy(&number, sizeof number) != 0) return st_fail("no-entropy", "getentropy failed");
    return st_resultf("{\"random\":%u}", number);
}

/* An emoji without its last byte. */
#define BROKEN "a\xF0\x9F\x8E" "b"

static st_status broken_text(st_json input) {
    (void)input;
    ST_TRY(st_sendf("broken", "{\"text\":%q}", BROKEN));
    ST_TRY(st_log(ST_INFO, "%s", BROKEN));
    ST_TRY(st_progress(.step = 1, .total = 2, .message = BROKEN));
    return st_resultf("{\"text\":%q}", BROKEN);
}

/* Each of them out of line, as functions of a larger program are. */
__attribute__((noinline)) static int deep(const char *boom) {
    assert(boom == NULL);
    return 1;
}

__attribute__((noinline)) static int deeper(const char *boom) {
    return deep(boom) + 1;
}

static st_status panics(st_json input) {
    return st_resultf("%d", deeper(text_of(input, "case")) + 1);
}

static st_status out_of_memory(st_json input) {
    (void)input;
    static void *kept;
    for (;;) {
        void **piece = malloc(1 << 20);
        if (piece == NULL) abort();
        memset(piece, 1, 1 << 20);
        *piece = kept;
        kept = piece;
    }
}

static st_status endless_loop(st_json input) {
    (void)input;
    for (volatile uint32_t n = 0;; n++) {
    }
}

static st_status wrong_type(st_json input) {
    (void)input;
    return st_result("[\"not\",\"an\",\"object\"]");
}

static st_status aborts(st_json input) {
    (void)input;
    abort();
}

static st_status exits(st_json input) {
    int64_t code;
    ST_TRY(number_of(input, "code", &code));
    exit((int)code);
}

static st_status denied(st_json input) {
    st_http_response response;
    ST_TRY(st_http_get(text_of(input, "url"), &response));
    return st_resultf("{\"status\":%d}", response.status);
}

static st_status load_missing(st_json input) {
    (void)input;
    st_json loaded;
    ST_TRY(st_load("never-saved", &loaded));
    return st_resultf("{\"loaded\":%j}", loaded);
}

static st_status load_other(st_json input) {
    (void)input;
    ST_TRY(st_save("n", "\"seven\""));
    int64_t n;
    ST_TRY(st_load_int("n", &n));
    return st_resultf("{\"loaded\":%lld}", (long long)n);
}

static const struct {
    const char *name;
    st_status (*run)(st_json input);
} CASES[] = {
    {"echo", echo},           {"events", events},       {"bytes", bytes},
    {"refused", refused},     {"too-large", too_large}, {"many", many},
    {"flush", flush},         {"sleep", sleeps},        {"info", info},
    {"remaining", remaining}, {"cancel", cancel},       {"signal", receive},
    {"parameter", parameter}, {"checkpoint", checkpoint}, {"failure", failure},
    {"exception", exception}, {"log", log_lines},       {"progress", progress},
    {"view", view},           {"generator", generator}, {"typed-input", typed_input},
    {"child", child},         {"http", http},           {"random", random_number},
    {"broken-text", broken_text}, {"panic", panics},    {"out-of-memory", out_of_memory},
    {"endless-loop", endless_loop}, {"wrong-type", wrong_type}, {"abort", aborts},
    {"exit", exits},          {"denied", denied},       {"load-missing", load_missing},
    {"load-other", load_other},
};

static const char *const UNSUPPORTED[] = {"async-generator", "panic-elsewhere"};

st_status st_task(st_json input) {
    char *name = text_of(input, "case");
    if (name == NULL) return invalid("case has to be a string");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        if (strcmp(CASES[i].name, name) == 0) return CASES[i].run(input);
    for (size_t i = 0; i < sizeof UNSUPPORTED / sizeof *UNSUPPORTED; i++)
        if (strcmp(UNSUPPORTED[i], name) == 0) return st_fail("unsupported", "C has no %s", name);
    return st_fail("unknown-case", "there is no case %q", name);
}
