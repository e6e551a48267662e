/* Events with a meaning for clients: log lines, progress, updates of web pages. */
#include <stdlib.h>

#include "internal.h"

/* == Log and progress =================================================================== */

static st_status log_line(st_level level, const char *message) {
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    if ((size_t)level > ST_ERROR) level = ST_ERROR;
    return st_sendf("log", "{\"level\":%q,\"message\":%q}", names[level], message);
}

st_status st_log(st_level level, const char *format, ...) {
    WITH_FORMATTED(message, format, log_line(level, message));
}

/* Appends a member to an object's text. Frees both arguments. */
static char *with(char *before, char *more) {
    if (more == NULL) return before;
    char *both = st_format("%s%s%s", before, before[1] == 0 ? "" : ",", more);
    free(before);
    free(more);
    return both;
}

static char *text_key(const char *key, const char *value) {
    return value == NULL ? NULL : st_format("%q:%q", key, value);
}

static char *count_key(const char *key, int64_t value) {
    return value < 0 ? NULL : st_format("%q:%lld", key, (long long)value);
}

static char *number_key(const char *key, double value) {
    return value < 0 ? NULL : st_format("%q:%g", key, value);
}

st_status st_send_progress(st_progress_data said) {
    char *data = st_format("{");
    data = with(data, text_key("id", said.id));
    data = with(data, text_key("parent", said.parent));
    data = with(data, number_key("weight", said.weight));
    data = with(data, text_key("status", said.status));
    data = with(data, count_key("step", said.step));
    data = with(data, count_key("done", said.done));
    data = with(data, count_key("total", said.total));
    data = with(data, number_key("percent", said.percent));
    data = with(data, text_key("message", said.message));
    st_status status = st_sendf("progress", "%s}", data);
    free(data);
    return status;
}

/* == Updates of web pages =============================================================== */

static st_status view_with(const char *op, const char *target, const char *key, const char *value,
                           const char *more) {
    return st_sendf("view", "{\"op\":%q,\"target\":%q,%q:%q%s}", op, target, key, value, more);
}

st_status st_view_start(const char *target) {
    return st_sendf("view", "{\"op\":\"start\",\"target\":%q}", target);
}

st_status st_view_done(const char *target) {
    return st_sendf("view", "{\"op\":\"done\",\"target\":%q}", target);
}

st_status st_view_text(const char *target, const char *text) {
    return view_with("text", target, "text", text, "");
}

st_status st_view_prepend(const char *target, const char *text) {
    return view_with("text", target, "text", text, ",\"mode\":\"prepend\"");
}

st_status st_view_replace(const char *target, const char *text) {
    return view_with("text", target, "text", text, ",\"mode\":\"replace\"");
}

st_status st_view_html(const char *target, const char *html) {
    return view_with("html", target, "html", html, "");
}

st_status st_view_insert(const char *target, const char *html, st_edge at) {
    return view_with("insert", target, "html", html, at == ST_TOP ? ",\"at\":\"prepend\"" : "");
}

st_status st_view_remove(const char *target, const char *selector) {
    return view_with("remove", target, "selector", selector, "");
}

st_status st_view_prune(const char *target, uint32_t limit, st_edge at) {
    return st_sendf("view", "{\"op\":\"prune\",\"target\":%q,\"limit\":%u,\"edge\":%q}", target,
                    (unsigned)limit, at == ST_TOP ? "top" : "bottom");
}

st_status st_view_error(const char *target, const char *message) {
    return view_with("error", target, "message", message, "");
}

st_status st_view_state(const char *json) {
    return st_sendf("view", "{\"op\":\"state\",\"state\":%s}", json);
}
