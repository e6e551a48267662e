/* The streamtask SDK for C.
 *
 * A task is one function, st_task. It can call all other functions here.
 *
 * Functions that can fail return an st_status, which is 0 on success; after a failure,
 * st_last_error() is one line for people. A task that returns such a status fails with that
 * error, so ST_TRY(st_send(...)) is enough error handling for most calls.
 *
 * Text is UTF-8. The host receives one U+FFFD for each invalid sequence.
 *
 * Free what a function allocates with free(), or not at all: each run has its own memory,
 * which is released when st_task returns.
 */
#ifndef STREAMTASK_H
#define STREAMTASK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The status of a call. */
typedef enum {
    ST_OK,
    ST_INVALID_ARGUMENT, /* an argument is invalid; the same call fails again */
    ST_TOO_LARGE,        /* larger than the host allows; the message gives the limit */
    ST_LIMIT_EXCEEDED,   /* a limit on the run's total, such as the number of events */
    ST_DENIED,           /* the operator has not granted this to the task */
    ST_NOT_FOUND,        /* the requested item does not exist */
    ST_CONFLICT,         /* the item already exists, with different content */
    ST_UNAVAILABLE,      /* the host can't do this now, but may be able to later */
    ST_INTERNAL,         /* an internal error of the host */
    ST_CANCELLED,        /* cancellation of the run was requested */
    ST_TIMED_OUT,        /* the wait timed out */
    ST_FAILED,           /* the result of st_fail */
} st_status;

/* Returns from the function with the status of a call, unless that is ST_OK. */
#define ST_TRY(call)                                     \
    do {                                                 \
        st_status st_try_status_ = (st_status)(call);    \
        if (st_try_status_ != ST_OK) return st_try_status_; \
    } while (0)

/* The last error, as one line for people. Never NULL. */
const char *st_last_error(void);
/* The name of a status in the contract, such as "too-large". */
const char *st_status_name(st_status status);

/* A JSON value within a text. The text must stay valid. */
typedef struct {
    const char *at; /* NULL: no value */
    size_t len;
} st_json;

/* == The task ========================================================================== */

/* The task: you define this function. ST_OK completes the run with the result set by st_result;
 * any other value fails it with the failure set by st_fail, or else with the last error. */
st_status st_task(st_json input);

/* Optional: describes the task. Returns a JSON object with "description", "input_schema",
 * "output_schema". It is called without a run. */
const char *st_describe(void);

/* Sets the result of the run, as JSON; the last call counts. Without a call, it is null. */
st_status st_result(const char *json);
/* Sets the result with a format; see st_format. */
st_status st_resultf(const char *format, ...);

/* Sets the failure of the run: a short machine-readable code, and one line for people. */
st_status st_fail(const char *code, const char *format, ...);

typedef struct {
    const char *message;
    const char *code;    /* NULL: none */
    const char *details; /* JSON; NULL: none */
    bool retryable;      /* whether another attempt could succeed */
    uint32_t retry_after_ms; /* the minimum delay until then; 0: not set */
} st_failure;

st_status st_fail_with(const st_failure *failure);

/* == Events ============================================================================ */

/* Sends one event. The task chooses the type: 1 to 128 bytes without control characters, not
 * beginning with "run." and not "gap". The data is JSON. */
st_status st_send(const char *type, const char *json);
st_status st_sendf(const char *type, const char *format, ...);
/* Sends an event on a named channel. Clients can subscribe to a single channel. */
st_status st_send_on(const char *channel, const char *type, const char *json);
/* Sends bytes with a content type such as "image/png". The channel may be NULL. */
st_status st_send_bytes(const char *channel, const char *type, const char *content_type,
                        const void *bytes, size_t len);
/* Waits until all events sent so far are durable. */
st_status st_flush(void);

typedef enum { ST_TRACE, ST_DEBUG, ST_INFO, ST_WARN, ST_ERROR } st_level;
/* Logs a message. */
st_status st_log(st_level level, const char *format, ...);

/* Fields with their default value are omitted, and so are negative numbers. */
#ifdef __cplusplus
#define ST_UNSAID(value) = value
#else
#define ST_UNSAID(value)
#endif
typedef struct st_progress_data {
    const char *id ST_UNSAID(nullptr);     /* of an item; NULL: the run itself */
    const char *parent ST_UNSAID(nullptr); /* of the item it is a part of */
    double weight ST_UNSAID(-1);           /* among its siblings */
    const char *status ST_UNSAID(nullptr); /* waiting, running, completed, failed, skipped */
    int64_t step ST_UNSAID(-1);            /* from 1, for sequential work */
    int64_t done ST_UNSAID(-1);
    int64_t total ST_UNSAID(-1);
    double percent ST_UNSAID(-1); /* from 0 to 100 */
    const char *message ST_UNSAID(nullptr);
} st_progress_data;

st_status st_send_progress(st_progress_data progress);

/* Reports progress: st_progress(.step = 3, .total = 10, .message = "page 3").
 * In C++: st_send_progress({.step = 3, .total = 10}), in the order of the struct. */
#ifndef __cplusplus
#define st_progress(...)                                                                 \
    __extension__({                                                                      \
        _Pragma("GCC diagnostic push")                                                   \
        _Pragma("GCC diagnostic ignored \"-Woverride-init\"")                            \
        st_status st_sent_ = st_send_progress((st_progress_data){                        \
            .weight = -1, .step = -1, .done = -1, .total = -1, .percent = -1,            \
            __VA_ARGS__});                                                               \
        _Pragma("GCC diagnostic pop") st_sent_;                                          \
    })
#endif

/* Sends each value that `next` returns (JSON, freed after use) as a "progress" event, until it
 * returns NULL; the last one is the result. Checks before each whether the run is cancelled. */
st_status st_stream(char *(*next)(void *state), void *state);

/* == Updates of web pages: of the element with data-stream="TARGET" ====================== */

typedef enum { ST_TOP, ST_BOTTOM } st_edge;
st_status st_view_start(const char *target);
st_status st_view_text(const char *target, const char *text); /* appended; never HTML */
st_status st_view_prepend(const char *target, const char *text);
st_status st_view_replace(const char *target, const char *text);
st_status st_view_html(const char *target, const char *html);
st_status st_view_insert(const char *target, const char *html, st_edge at);
st_status st_view_remove(const char *target, const char *selector);
st_status st_view_prune(const char *target, uint32_t limit, st_edge at);
st_status st_view_error(const char *target, const char *message);
st_status st_view_done(const char *target);
st_status st_view_state(const char *json);

/* == Waiting, signals and parameters ===================================================== */

#define ST_FOREVER UINT32_MAX

/* Returns ST_CANCELLED as soon as cancellation of the run is requested. */
st_status st_sleep(uint32_t ms);
bool st_cancelled(void);
/* The time left until this attempt's deadline; false if it has none. */
bool st_remaining_ms(uint32_t *ms);

typedef struct {
    const char *name;
    st_json payload;
} st_signal;

/* Removes and returns the oldest queued signal; with a name, the oldest of that name. If there is
 * none, waits for at most `timeout_ms`: ST_TIMED_OUT, ST_CANCELLED. */
st_status st_receive_signal(const char *name, uint32_t timeout_ms, st_signal *signal);
/* The current value of a parameter; false if it was never set. */
bool st_parameter(const char *name, st_json *value);

/* == State that outlives the attempt ===================================================== */

/* When it returns, the value and all events sent before are durable. */
st_status st_save(const char *key, const char *json);
st_status st_save_bytes(const char *key, const void *bytes, size_t len);
/* value->at is NULL if nothing was saved. */
st_status st_load(const char *key, st_json *value);
/* Leaves the number unchanged if nothing was saved; ST_INVALID_ARGUMENT if it is not a number. */
st_status st_load_int(const char *key, int64_t *number);
/* *bytes is NULL if nothing was saved. */
st_status st_load_bytes(const char *key, uint8_t **bytes, size_t *len);
st_status st_remove(const char *key);

/* == Child runs ========================================================================== */

typedef struct {
    const char *key; /* another start with the same key returns the same child */
    bool detached;   /* continues after this run has ended */
    bool has_priority;
    int32_t priority; /* from -100 to 100 */
} st_child_options;

/* `task` is app/task, or just the name within the app. Options may be NULL. */
st_status st_start_child(const char *task, const char *input, const st_child_options *options,
                         const char **run);

typedef struct {
    enum { ST_CHILD_COMPLETED, ST_CHILD_FAILED, ST_CHILD_CANCELLED } how;
    st_json value; /* the result, or the details of a failure; empty if there is none */
    const char *kind, *message, *code; /* of a failure; the code may be NULL */
} st_outcome;

/* Waits until one of the children has ended. Sets *index to it, unless index is NULL. */
st_status st_wait_any(const char *const *runs, size_t count, uint32_t timeout_ms, size_t *index,
                      st_outcome *outcome);
st_status st_wait(const char *run, st_outcome *outcome);
st_status st_cancel_child(const char *run);

/* == HTTP requests that the task's manifest grants ======================================== */

/* The default limit for the bytes of a response's body. */
#define ST_HTTP_MAX_RESPONSE (8u << 20)

typedef struct {
    const char *name, *value;
} st_http_header;

/* Fields that are 0 or NULL mean the default. */
typedef struct st_http_request {
    const char *url ST_UNSAID(nullptr);               /* http or https; required */
    const char *method ST_UNSAID(nullptr);            /* default: GET */
    const st_http_header *headers ST_UNSAID(nullptr); /* except those of the connection, such as Host */
    size_t header_count ST_UNSAID(0);
    const void *body ST_UNSAID(nullptr);
    size_t body_len ST_UNSAID(0);
    size_t max_response ST_UNSAID(0); /* bytes of the body; the grant's limit applies, too */
    uint32_t timeout_ms ST_UNSAID(0); /* for the whole request; the grant's limit applies, too */
} st_http_request;

typedef struct {
    int status;
    st_http_header *headers;
    size_t header_count;
    char *body; /* with a terminating zero that is not counted: st_parse(response.body) */
    size_t body_len;
} st_http_response;

/* Waits for the complete response, whatever its status: also 404, and 302, which is not followed.
 * ST_DENIED: the error names the missing grant. ST_TOO_LARGE, ST_TIMED_OUT, ST_CANCELLED,
 * ST_INVALID_ARGUMENT; ST_UNAVAILABLE if there is no response. */
st_status st_http_send(const st_http_request *request, st_http_response *response);
st_status st_http_get(const char *url, st_http_response *response);
/* The first header with this case-insensitive name; NULL if there is none. */
const char *st_http_header_of(const st_http_response *response, const char *name);
/* Frees a response; not needed after an error. */
void st_http_free(st_http_response *response);

/* == The current run ===================================================================== */

typedef struct {
    const char *id, *app, *task, *version;
    uint32_t attempt; /* 1 for the first */
    size_t labels;
    const char *const *label_names, *const *label_values;
} st_info_data;

/* Does not change during a run. */
const st_info_data *st_info(void);

/* == JSON ================================================================================ */

typedef enum { ST_NOTHING, ST_NULL, ST_BOOL, ST_NUMBER, ST_STRING, ST_ARRAY, ST_OBJECT } st_kind;

/* No value if the text is not JSON, or more than 128 levels deep. */
st_json st_parse(const char *text);
st_kind st_kind_of(st_json value);
/* No value if it is not an object, or has no such key. */
st_json st_get(st_json object, const char *key);
/* Iterates over the items of an array, or the values of an object: pass {0} first, then the
 * previous item. */
st_json st_next(st_json container, st_json before);
/* The key of a value that st_next returned; NULL in an array. */
char *st_key_of(st_json container, st_json item);
/* These return false, and leave the variable unchanged, if the value has another type; st_int also
 * if it is not an integer of 64 bits. */
bool st_int(st_json value, int64_t *number);
bool st_double(st_json value, double *number);
bool st_bool(st_json value, bool *truth);
/* The text of a string; NULL for other values. The length is for texts with \u0000. */
char *st_string(st_json value, size_t *len);
/* The value as JSON text. */
char *st_text(st_json value);

/* Formats text: %q a string as JSON, with quotes (NULL is null); %j an st_json; %s a string
 * unchanged; %b a bool; %g a double as JSON; and, as in printf, %d %i %u %x %c %%, with l, ll, z
 * before them. Others are errors, with the result NULL. */
char *st_format(const char *format, ...);
char *st_vformat(const char *format, va_list arguments);

#ifdef __cplusplus
}
#endif
#endif
