/* HTTP requests, over the generated bindings of wasi:http. The linker drops this file and its imports
 * from tasks that make none. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bindings/streamtask_http.h"
#include "internal.h"

/* How soon a run that waits for a response detects its cancellation. */
#define SLICE_NS (200 * UINT64_C(1000000))
/* Bytes of a body per read: the host's own chunk size. */
#define PART_BYTES (64 * 1024)

/* == URLs ================================================================================ */

typedef struct {
    bool is_https;
    char *authority, *path; /* as sent in the request */
    char *host, *port;      /* parts of the authority; the port is empty if it has none */
} address;

static char *cut(const char *from, size_t len) {
    char *text = (char *)malloc(len + 1);
    if (text == NULL) abort();
    memcpy(text, from, len);
    text[len] = 0;
    return text;
}

static void forget(address *to) {
    free(to->authority);
    free(to->path);
    free(to->host);
    free(to->port);
}

/* False if it is not an http or https URL. The host checks it again. */
static bool parse(const char *url, address *to) {
    memset(to, 0, sizeof *to);
    to->is_https = strncasecmp(url, "https://", 8) == 0;
    if (!to->is_https && strncasecmp(url, "http://", 7) != 0) return false;
    const char *authority = url + (to->is_https ? 8 : 7);
    size_t len = strcspn(authority, "/?#");
    if (len == 0) return false;
    const char *path = authority + len;
    char *sent = cut(path, strcspn(path, "#"));
    to->path = *sent == '/' ? sent : st_format("/%s", sent);
    if (to->path != sent) free(sent);
    to->authority = cut(authority, len);
    /* Colons in brackets are part of an IPv6 address. */
    const char *bracket = strrchr(to->authority, ']');
    const char *colon = strchr(bracket == NULL ? to->authority : bracket, ':');
    size_t host = colon == NULL ? len : (size_t)(colon - to->authority);
    to->host = cut(to->authority, host);
    to->port = st_format("%s", colon == NULL ? "" : colon + 1);
    return true;
}

/* == An exchange, and the release of its resources ======================================== */

/* The handle 0 means none: the host's handles start at 1. */
typedef struct {
    const st_http_request *request;
    const char *method;
    address to;
    uint64_t deadline; /* by the clock of the host; 0: none */
    bool was_cancelled;
    wasi_http_types_own_outgoing_request_t sent;
    wasi_http_types_own_outgoing_body_t sent_body;
    wasi_http_types_own_output_stream_t sending;
    wasi_http_types_own_future_incoming_response_t answer;
    wasi_http_types_own_incoming_response_t response;
    wasi_http_types_own_incoming_body_t body;
    wasi_http_types_own_input_stream_t reading;
} exchange;

/* Releases child resources before their parents. Does not wait for a pending response. */
static void end(exchange *x) {
    if (x->sending.__handle) wasi_io_streams_output_stream_drop_own(x->sending);
    if (x->sent_body.__handle) wasi_http_types_outgoing_body_drop_own(x->sent_body);
    if (x->sent.__handle) wasi_http_types_outgoing_request_drop_own(x->sent);
    if (x->reading.__handle) wasi_io_streams_input_stream_drop_own(x->reading);
    if (x->body.__handle) wasi_http_types_incoming_body_drop_own(x->body);
    if (x->response.__handle) wasi_http_types_incoming_response_drop_own(x->response);
    if (x->answer.__handle) wasi_http_types_future_incoming_response_drop_own(x->answer);
    forget(&x->to);
    st_internal_take_back();
}

/* == Errors ============================================================================== */

/* Frees the reason. */
static st_status refuse(const exchange *x, st_status status, char *why) {
    char *message = st_format("%s %s: %s", x->method, x->request->url, why);
    free(why);
    return st_internal_refuse(status, message);
}

static st_status invalid(const exchange *x, const char *why) {
    return refuse(x, ST_INVALID_ARGUMENT, st_format("%s", why));
}

/* The error of a denied request, with the rule that would allow it. */
static st_status denied(const exchange *x) {
    const address *to = &x->to;
    char *ports = *to->port ? st_format(", ports = [%s]", to->port) : st_format("");
    char *why = st_format("not granted: it needs [[grants.http]] with host = %q%s%s, methods = [%q] in the "
                          "task's manifest",
                          to->host, to->is_https ? "" : ", schemes = [\"http\"]", ports, x->method);
    free(ports);
    return refuse(x, ST_DENIED, why);
}

/* In the order of wasi:http's codes. */
static const char *const CODES[] = {
    "DNS timeout",
    "DNS error",
    "destination not found",
    "destination unavailable",
    "destination address prohibited",
    "destination address unroutable",
    "connection refused",
    "connection terminated",
    "connection timeout",
    "connection read timeout",
    "connection write timeout",
    "connection limit reached",
    "TLS protocol error",
    "TLS certificate error",
    "TLS alert received",
    "request denied",
    "request length required",
    "request body too large",
    "request method invalid",
    "request URL invalid",
    "request URL too long",
    "request headers too large",
    "request header too large",
    "request trailers too large",
    "request trailer too large",
    "response incomplete",
    "response headers too large",
    "response header too large",
    "response body larger than the grant's max-response",
    "response trailers too large",
    "response trailer too large",
    "response transfer coding unknown",
    "response content coding unknown",
    "response timeout",
    "upgrade failed",
    "protocol error",
    "loop detected",
    "configuration error",
    "internal error",
};

static st_status status_of(uint8_t code) {
    switch (code) {
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_LENGTH_REQUIRED:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_METHOD_INVALID:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_URI_INVALID:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_URI_TOO_LONG: return ST_INVALID_ARGUMENT;
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_BODY_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_HEADER_SECTION_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_HEADER_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_HEADER_SECTION_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_HEADER_SIZE:
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_RESPONSE_BODY_SIZE: return ST_TOO_LARGE;
    default: return ST_UNAVAILABLE;
    }
}

/* Text in the code is not freed, like all data from the host. */
static st_status failed(const exchange *x, const wasi_http_types_error_code_t *code) {
    switch (code->tag) {
    case WASI_HTTP_TYPES_ERROR_CODE_HTTP_REQUEST_DENIED: return denied(x);
    case WASI_HTTP_TYPES_ERROR_CODE_DESTINATION_IP_PROHIBITED:
        return refuse(x, ST_DENIED,
                      st_format("not granted: %s has no public address, so its [[grants.http]] needs "
                                "private = true",
                                x->to.host));
    case WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR:
        if (code->val.internal_error.is_some) {
            streamtask_http_string_t said = code->val.internal_error.val;
            return refuse(x, ST_UNAVAILABLE, cut((const char *)said.ptr, said.len));
        }
    }
    const char *word = code->tag < sizeof CODES / sizeof *CODES ? CODES[code->tag] : "no answer";
    return refuse(x, status_of(code->tag), st_format("%s", word));
}

/* The error of a broken stream. */
static st_status broken(const exchange *x, wasi_io_streams_stream_error_t *error) {
    wasi_http_types_error_code_t code;
    wasi_io_error_own_error_t why = error->val.last_operation_failed;
    bool is_known = wasi_http_types_http_error_code(wasi_io_error_borrow_error(why), &code);
    wasi_io_error_error_drop_own(why);
    return is_known ? failed(x, &code) : refuse(x, ST_UNAVAILABLE, st_format("the connection broke off"));
}

/* == Waiting ============================================================================= */

static uint64_t now(void) {
    return wasi_clocks_monotonic_clock_now();
}

/* Waits for one of two. Returns whether it was the first. */
static bool is_ready(wasi_io_poll_own_pollable_t it, wasi_io_poll_own_pollable_t clock) {
    wasi_io_poll_borrow_pollable_t both[] = {wasi_io_poll_borrow_pollable(it),
                                             wasi_io_poll_borrow_pollable(clock)};
    wasi_io_poll_list_borrow_pollable_t in = {both, 2};
    streamtask_http_list_u32_t ready;
    wasi_io_poll_poll(&in, &ready);
    bool is_it = false;
    for (size_t i = 0; i < ready.len; i++) is_it |= ready.ptr[i] == 0;
    streamtask_http_list_u32_free(&ready);
    return is_it;
}

/* Takes ownership of the pollable. */
static st_status wait_for(const exchange *x, wasi_io_poll_own_pollable_t it) {
    st_status status = ST_OK;
    for (;;) {
        uint64_t left = x->deadline == 0 ? SLICE_NS : x->deadline > now() ? x->deadline - now() : 0;
        wasi_io_poll_own_pollable_t clock =
            wasi_clocks_monotonic_clock_subscribe_duration(left < SLICE_NS ? left : SLICE_NS);
        bool ready = is_ready(it, clock);
        wasi_io_poll_pollable_drop_own(clock);
        if (ready) break;
        /* A cancelled run can still send requests while it cleans up. */
        if (!x->was_cancelled && st_cancelled())
            status = refuse(x, ST_CANCELLED, st_format("the run was cancelled"));
        else if (x->deadline != 0 && now() >= x->deadline)
            status = refuse(x, ST_TIMED_OUT, st_format("no complete response within %u ms", x->request->timeout_ms));
        if (status != ST_OK) break;
    }
    wasi_io_poll_pollable_drop_own(it);
    return status;
}

/* == Sending ============================================================================= */

static streamtask_http_string_t lent(const char *text) {
    const char *given = st_internal_lent(text);
    return (streamtask_http_string_t){(uint8_t *)given, strlen(given)};
}

static bool says_length(const st_http_request *request) {
    for (size_t i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, "content-length") == 0) return true;
    return false;
}

static bool has_body(const exchange *x) {
    return x->request->body_len > 0 || strcmp(x->method, "POST") == 0 || strcmp(x->method, "PUT") == 0 ||
           strcmp(x->method, "PATCH") == 0;
}

static st_status make_headers(const exchange *x, wasi_http_types_own_fields_t *fields) {
    const st_http_request *request = x->request;
    wasi_http_types_list_tuple2_field_key_field_value_t list = {NULL, request->header_count};
    list.ptr = (wasi_http_types_tuple2_field_key_field_value_t *)calloc(list.len + 1, sizeof *list.ptr);
    if (list.ptr == NULL) abort();
    for (size_t i = 0; i < list.len; i++) {
        list.ptr[i].f0 = lent(request->headers[i].name);
        list.ptr[i].f1.ptr = (uint8_t *)request->headers[i].value;
        list.ptr[i].f1.len = strlen(request->headers[i].value);
    }
    char *length = st_format("%zu", request->body_len);
    /* Otherwise, the body would be sent in chunks, which some servers don't accept. */
    if (has_body(x) && !says_length(request)) {
        list.ptr[list.len].f0 = lent("content-length");
        list.ptr[list.len].f1.ptr = (uint8_t *)length;
        list.ptr[list.len++].f1.len = strlen(length);
    }
    wasi_http_types_header_error_t error;
    bool ok = wasi_http_types_static_fields_from_list(&list, fields, &error);
    free(length);
    free(list.ptr);
    if (ok) return ST_OK;
    if (error.tag == WASI_HTTP_TYPES_HEADER_ERROR_FORBIDDEN)
        return invalid(x, "one of its headers is the connection's own, such as Host");
    return invalid(x, "one of its headers has a character that none may have");
}

static wasi_http_types_method_t method_of(const char *name) {
    static const char *const names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    wasi_http_types_method_t method = {0};
    while (method.tag < WASI_HTTP_TYPES_METHOD_OTHER && strcmp(names[method.tag], name) != 0) method.tag++;
    method.val.other = lent(name);
    return method;
}

static st_status make_request(exchange *x) {
    wasi_http_types_own_fields_t fields;
    ST_TRY(make_headers(x, &fields));
    x->sent = wasi_http_types_constructor_outgoing_request(fields);
    wasi_http_types_borrow_outgoing_request_t sent = wasi_http_types_borrow_outgoing_request(x->sent);
    wasi_http_types_method_t method = method_of(x->method);
    if (!wasi_http_types_method_outgoing_request_set_method(sent, &method))
        return invalid(x, "its method is none of HTTP");
    wasi_http_types_scheme_t scheme = {
        .tag = x->to.is_https ? WASI_HTTP_TYPES_SCHEME_HTTPS : WASI_HTTP_TYPES_SCHEME_HTTP};
    streamtask_http_string_t authority = lent(x->to.authority), path = lent(x->to.path);
    if (!wasi_http_types_method_outgoing_request_set_scheme(sent, &scheme) ||
        !wasi_http_types_method_outgoing_request_set_authority(sent, &authority) ||
        !wasi_http_types_method_outgoing_request_set_path_with_query(sent, &path))
        return invalid(x, "its address has a character that has to be percent-encoded");
    if (has_body(x)) wasi_http_types_method_outgoing_request_body(sent, &x->sent_body);
    return ST_OK;
}

static void let_go(wasi_io_streams_stream_error_t *error) {
    if (error->tag == WASI_IO_STREAMS_STREAM_ERROR_LAST_OPERATION_FAILED)
        wasi_io_error_error_drop_own(error->val.last_operation_failed);
}

/* 0 if the stream is closed: the response has the reason. */
static st_status wait_for_room(const exchange *x, uint64_t *room) {
    wasi_io_streams_borrow_output_stream_t sending = wasi_io_streams_borrow_output_stream(x->sending);
    for (;;) {
        wasi_io_streams_stream_error_t error;
        if (!wasi_io_streams_method_output_stream_check_write(sending, room, &error)) {
            *room = 0;
            let_go(&error);
            return ST_OK;
        }
        if (*room > 0) return ST_OK;
        ST_TRY(wait_for(x, wasi_io_streams_method_output_stream_subscribe(sending)));
    }
}

static st_status send_body(exchange *x) {
    if (x->sent_body.__handle == 0) return ST_OK;
    wasi_http_types_borrow_outgoing_body_t body = wasi_http_types_borrow_outgoing_body(x->sent_body);
    wasi_http_types_method_outgoing_body_write(body, &x->sending);
    wasi_io_streams_borrow_output_stream_t sending = wasi_io_streams_borrow_output_stream(x->sending);
    /* A closed stream is only detected when it has no capacity. */
    wasi_io_streams_stream_error_t error;
    uint64_t room;
    ST_TRY(wait_for_room(x, &room));
    for (size_t done = 0; room > 0 && done < x->request->body_len;) {
        size_t left = x->request->body_len - done;
        streamtask_http_list_u8_t part = {(uint8_t *)x->request->body + done, left < room ? left : room};
        if (!wasi_io_streams_method_output_stream_write(sending, &part, &error)) let_go(&error);
        done += part.len;
        ST_TRY(wait_for_room(x, &room));
    }
    /* Unflushed data may be lost when the stream is dropped. */
    if (room > 0) {
        if (!wasi_io_streams_method_output_stream_flush(sending, &error)) let_go(&error);
        ST_TRY(wait_for_room(x, &room));
    }
    wasi_io_streams_output_stream_drop_own(x->sending);
    x->sending.__handle = 0;
    /* Without finish, the host treats the body as aborted, which is right if the stream was closed. */
    if (room > 0) {
        wasi_http_types_error_code_t code;
        wasi_http_types_static_outgoing_body_finish(x->sent_body, NULL, &code);
        x->sent_body.__handle = 0;
    }
    return ST_OK;
}

/* == Receiving =========================================================================== */

static st_status receive_head(exchange *x) {
    wasi_http_types_borrow_future_incoming_response_t answer =
        wasi_http_types_borrow_future_incoming_response(x->answer);
    wasi_http_types_result_result_own_incoming_response_error_code_void_t got;
    while (!wasi_http_types_method_future_incoming_response_get(answer, &got))
        ST_TRY(wait_for(x, wasi_http_types_method_future_incoming_response_subscribe(answer)));
    /* The outer error means that the response was already taken. */
    if (got.is_err) return refuse(x, ST_INTERNAL, st_format("the response was already taken"));
    if (got.val.ok.is_err) return failed(x, &got.val.ok.val.err);
    x->response = got.val.ok.val.ok;
    return ST_OK;
}

static void take_head(const exchange *x, st_http_response *response) {
    wasi_http_types_borrow_incoming_response_t head = wasi_http_types_borrow_incoming_response(x->response);
    response->status = wasi_http_types_method_incoming_response_status(head);
    wasi_http_types_own_fields_t fields = wasi_http_types_method_incoming_response_headers(head);
    wasi_http_types_list_tuple2_field_key_field_value_t list;
    wasi_http_types_method_fields_entries(wasi_http_types_borrow_fields(fields), &list);
    wasi_http_types_fields_drop_own(fields);
    response->headers = (st_http_header *)calloc(list.len + 1, sizeof *response->headers);
    if (response->headers == NULL) abort();
    response->header_count = list.len;
    for (size_t i = 0; i < list.len; i++) {
        response->headers[i].name = cut((const char *)list.ptr[i].f0.ptr, list.ptr[i].f0.len);
        response->headers[i].value = cut((const char *)list.ptr[i].f1.ptr, list.ptr[i].f1.len);
    }
    wasi_http_types_list_tuple2_field_key_field_value_free(&list);
}

/* Reserves space for more bytes and the terminating zero. */
static void make_room(st_http_response *response, size_t *room, size_t len) {
    if (len < *room - response->body_len) return;
    *room = (response->body_len + len + 1) * 2;
    response->body = (char *)realloc(response->body, *room);
    if (response->body == NULL) abort();
}

static st_status receive_body(const exchange *x, st_http_response *response) {
    wasi_io_streams_borrow_input_stream_t reading = wasi_io_streams_borrow_input_stream(x->reading);
    size_t limit = x->request->max_response ? x->request->max_response : ST_HTTP_MAX_RESPONSE;
    size_t room = 0;
    for (;;) {
        make_room(response, &room, 0);
        response->body[response->body_len] = 0;
        streamtask_http_list_u8_t part;
        wasi_io_streams_stream_error_t error;
        if (!wasi_io_streams_method_input_stream_read(reading, PART_BYTES, &part, &error))
            return error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED ? ST_OK : broken(x, &error);
        size_t len = part.len;
        bool fits = len <= limit - response->body_len;
        if (fits && len > 0) {
            make_room(response, &room, len);
            memcpy(response->body + response->body_len, part.ptr, len);
            response->body_len += len;
        }
        streamtask_http_list_u8_free(&part);
        if (!fits)
            return refuse(x, ST_TOO_LARGE, st_format("the response has more than %zu bytes", limit));
        if (len == 0) ST_TRY(wait_for(x, wasi_io_streams_method_input_stream_subscribe(reading)));
    }
}

static st_status run(exchange *x, st_http_response *response) {
    ST_TRY(make_request(x));
    wasi_http_types_own_outgoing_request_t sent = x->sent;
    /* The host owns it now, whatever the result. */
    x->sent.__handle = 0;
    wasi_http_types_error_code_t error;
    if (!wasi_http_outgoing_handler_handle(sent, NULL, &x->answer, &error)) return failed(x, &error);
    ST_TRY(send_body(x));
    ST_TRY(receive_head(x));
    take_head(x, response);
    wasi_http_types_method_incoming_response_consume(wasi_http_types_borrow_incoming_response(x->response),
                                                     &x->body);
    wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(x->body), &x->reading);
    return receive_body(x, response);
}

/* == Functions for tasks ================================================================= */

st_status st_http_send(const st_http_request *request, st_http_response *response) {
    memset(response, 0, sizeof *response);
    exchange x = {.request = request, .method = request->method == NULL ? "GET" : request->method};
    st_status status;
    if (request->url == NULL || !parse(request->url, &x.to)) {
        status = st_internal_refuse(ST_INVALID_ARGUMENT,
                                    st_format("%q is not an http or https URL", request->url));
    } else {
        x.was_cancelled = st_cancelled();
        x.deadline = request->timeout_ms ? now() + request->timeout_ms * UINT64_C(1000000) : 0;
        status = run(&x, response);
    }
    end(&x);
    if (status != ST_OK) st_http_free(response);
    return status;
}

st_status st_http_get(const char *url, st_http_response *response) {
    return st_http_send(&(st_http_request){.url = url}, response);
}

const char *st_http_header_of(const st_http_response *response, const char *name) {
    for (size_t i = 0; i < response->header_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0) return response->headers[i].value;
    return NULL;
}

void st_http_free(st_http_response *response) {
    for (size_t i = 0; i < response->header_count; i++) {
        free((void *)response->headers[i].name);
        free((void *)response->headers[i].value);
    }
    free(response->headers);
    free(response->body);
    memset(response, 0, sizeof *response);
}
