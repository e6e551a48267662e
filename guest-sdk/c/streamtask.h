/* Write streamtask tasks in C.
 *
 * A task is one function, st_task. Everything else here is what it can call.
 *
 * Functions that the host can refuse return an st_status, which is 0 if all went well;
 * st_last_error() is then one line for people. A task that returns such a status fails with
 * that error, so ST_TRY(st_send(...)) is all the handling that most calls need.
 *
 * Text is UTF-8. Where it is broken, the host gets one U+FFFD for each broken sequence.
 *
 * What a function allocates is freed by free(), or not at all: a run has its memory for
 * itself, and all of it is gone when st_task returns.
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

/* What went wrong, by what the caller can do about it. */
typedef enum {
    ST_OK,
    ST_INVALID_ARGUMENT, /* an argument breaks a rule; the same call will fail again */
    ST_TOO_LARGE,        /* larger than the host allows; the message gives the limit */
    ST_LIMIT_EXCEEDED,   /* used up over the whole run, such as the number of events */
    ST_DENIED,           /* the operator has not granted this to the task */
    ST_NOT_FOUND,        /* what was asked for does not exist */
    ST_CONFLICT,         /* what was asked for exists already, in another form */
    ST_UNAVAILABLE,      /* the host can't do this now; later it may */
    ST_INTERNAL,         /* a fault of the host */
    ST_CANCELLED,        /* someone asked to cancel the run */
    ST_TIMED_OUT,        /* the time to wait is over */
    ST_FAILED,           /* what st_fail returns */
} st_status;

/* Returns from the function with the status of a call, unless that is ST_OK. */
#define ST_TRY(call)                                     \
    do {                                                 \
        st_status st_try_status_ = (st_status)(call);    \
        if (st_try_status_ != ST_OK) return st_try_status_; \
    } while (0)

/* The last refusal, as one line for people. Never NULL. */
const char *st_last_error(void);
/* The name of a status in the contract, such as "too-large". */
const char *st_status_name(st_status status);

/* JSON, to read: a value within a text, which has to stay where it is. */
typedef struct {
    const char *at; /* NULL: nothing there */
    size_t len;
} st_json;

/* == What a task is ==================================================================== */

/* The task. You write it. ST_OK: the run has succeeded, with what st_result was told; any
 * other value: it has failed, with what st_fail was told, else with the last error. */
st_status st_task(st_json input);

/* What the host is told about the task: a JSON object with "description", "input_schema",
 * "output_schema". Write one, or leave it out. It is called without a run. */
const char *st_describe(void);

/* The result of the run, as JSON; the last one counts. Without one it is null. */
st_status st_result(const char *json);
/* The same, written by a format; see st_format. */
st_status st_resultf(const char *format, ...);

/* Says why the run fails: a short word for programs, and one line for people. */
st_status st_fail(const char *code, const char *format, ...);

typedef struct {
    const char *message;
    const char *code;    /* NULL: none */
    const char *details; /* JSON; NULL: none */
    bool retryable;      /* whether another attempt could succeed */
    uint32_t retry_after_ms; /* the least time until then; 0 says nothing */
} st_failure;

st_status st_fail_with(const st_failure *failure);

/* == Events ============================================================================ */

/* Sends one event. The type is the task's own choice: 1 to 128 bytes without control
 * characters, not beginning with "run." and not "gap". The data is JSON. */
st_status st_send(const char *type, const char *json);
st_status st_sendf(const char *type, const char *format, ...);
/* On a named channel. Clients can follow one channel alone. */
st_status st_send_on(const char *channel, const char *type, const char *json);
/* Bytes; the content type is one such as "image/png". The channel may be NULL. */
st_status st_send_bytes(const char *channel, const char *type, const char *content_type,
                        const void *bytes, size_t len);
/* Returns once every event sent so far is durable. */
st_status st_flush(void);

typedef enum { ST_TRACE, ST_DEBUG, ST_INFO, ST_WARN, ST_ERROR } st_level;
/* A line for the log. */
st_status st_log(st_level level, const char *format, ...);

/* What is left as it is here is not said. Negative numbers say nothing either. */
#ifdef __cplusplus
#define ST_UNSAID(value) = value
#else
#define ST_UNSAID(value)
#endif
typedef struct st_progress_data {
    const char *id ST_UNSAID(nullptr);     /* of an item; NULL: the run as a whole */
    const char *parent ST_UNSAID(nullptr); /* of the item it is a part of */
    double weight ST_UNSAID(-1);           /* among its siblings */
    const char *status ST_UNSAID(nullptr); /* waiting, running, completed, failed, skipped */
    int64_t step ST_UNSAID(-1);            /* from 1, for work in a row */
    int64_t done ST_UNSAID(-1);
    int64_t total ST_UNSAID(-1);
    double percent ST_UNSAID(-1); /* from 0 to 100 */
    const char *message ST_UNSAID(nullptr);
} st_progress_data;

st_status st_send_progress(st_progress_data progress);

/* Says how far the run is: st_progress(.step = 3, .total = 10, .message = "page 3").
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

/* Sends what `next` returns (JSON, freed after use), each as a "progress" event, until it
 * returns NULL; the last is the result. Asks before each whether the run is cancelled. */
st_status st_stream(char *(*next)(void *state), void *state);

/* == Pages that follow the run: the element with data-stream="TARGET" ==================== */

typedef enum { ST_TOP, ST_BOTTOM } st_edge;
st_status st_view_start(const char *target);
st_status st_view_text(const char *target, const char *text); /* at the end; never html */
st_status st_view_prepend(const char *target, const char *text);
st_status st_view_replace(const char *target, const char *text);
st_status st_view_html(const char *target, const char *html);
st_status st_view_insert(const char *target, const char *html, st_edge at);
st_status st_view_remove(const char *target, const char *selector);
st_status st_view_prune(const char *target, uint32_t limit, st_edge at);
st_status st_view_error(const char *target, const char *message);
st_status st_view_done(const char *target);
st_status st_view_state(const char *json);

/* == Waiting, and what comes from outside ================================================ */

#define ST_FOREVER UINT32_MAX

/* ST_CANCELLED at once when the run is or gets cancelled. */
st_status st_sleep(uint32_t ms);
bool st_cancelled(void);
/* The time left until the host ends this attempt; false if it has no deadline. */
bool st_remaining_ms(uint32_t *ms);

typedef struct {
    const char *name;
    st_json payload;
} st_signal;

/* Takes the oldest signal; with a name, the oldest of that name. Waits for one, at most
 * `timeout_ms`: ST_TIMED_OUT, ST_CANCELLED. */
st_status st_receive_signal(const char *name, uint32_t timeout_ms, st_signal *signal);
/* The present value of a parameter; false if it was never set. */
bool st_parameter(const char *name, st_json *value);

/* == State that survives the attempt ===================================================== */

/* Durable when it returns, together with every event sent before. */
st_status st_save(const char *key, const char *json);
st_status st_save_bytes(const char *key, const void *bytes, size_t len);
/* value->at is NULL if nothing was saved. */
st_status st_load(const char *key, st_json *value);
/* Leaves the number as it is if nothing was saved; ST_INVALID_ARGUMENT if something else was. */
st_status st_load_int(const char *key, int64_t *number);
/* *bytes is NULL if nothing was saved. */
st_status st_load_bytes(const char *key, uint8_t **bytes, size_t *len);
st_status st_remove(const char *key);

/* == Runs that this run starts =========================================================== */

typedef struct {
    const char *key; /* starting it again with the same key returns the same child */
    bool detached;   /* goes on when this run has ended */
    bool has_priority;
    int32_t priority; /* from -100 to 100 */
} st_child_options;

/* `task` is app/task, or the name alone within the app. Options may be NULL. */
st_status st_start_child(const char *task, const char *input, const st_child_options *options,
                         const char **run);

typedef struct {
    enum { ST_CHILD_COMPLETED, ST_CHILD_FAILED, ST_CHILD_CANCELLED } how;
    st_json value; /* of one that failed: its details. Nothing there if there is none */
    const char *kind, *message, *code; /* of one that failed; the code may be NULL */
} st_outcome;

/* Waits until one of the children has ended: *index says which, unless index is NULL. */
st_status st_wait_any(const char *const *runs, size_t count, uint32_t timeout_ms, size_t *index,
                      st_outcome *outcome);
st_status st_wait(const char *run, st_outcome *outcome);
st_status st_cancel_child(const char *run);

/* == HTTP, as far as the task's manifest grants it ======================================== */

/* Most bytes of a response's body, unless the request says otherwise. */
#define ST_HTTP_MAX_RESPONSE (8u << 20)

typedef struct {
    const char *name, *value;
} st_http_header;

/* What is 0 or NULL is not said. */
typedef struct st_http_request {
    const char *url ST_UNSAID(nullptr);               /* of http or https; has to be said */
    const char *method ST_UNSAID(nullptr);            /* GET, unless it is said */
    const st_http_header *headers ST_UNSAID(nullptr); /* but those of the connection, as Host is */
    size_t header_count ST_UNSAID(0);
    const void *body ST_UNSAID(nullptr);
    size_t body_len ST_UNSAID(0);
    size_t max_response ST_UNSAID(0); /* bytes of the body; the grant's own limit counts too */
    uint32_t timeout_ms ST_UNSAID(0); /* from the call to the last byte; likewise */
} st_http_request;

typedef struct {
    int status;
    st_http_header *headers;
    size_t header_count;
    char *body; /* followed by a zero, which is not counted: st_parse(response.body) */
    size_t body_len;
} st_http_response;

/* Waits until the response is whole. Any status is one, also 404, and 302, which is not followed.
 * ST_DENIED: the error names the grant that is missing. ST_TOO_LARGE, ST_TIMED_OUT,
 * ST_CANCELLED, ST_INVALID_ARGUMENT; ST_UNAVAILABLE if there was none. */
st_status st_http_send(const st_http_request *request, st_http_response *response);
st_status st_http_get(const char *url, st_http_response *response);
/* The first header of that name, in any case; NULL if there is none. */
const char *st_http_header_of(const st_http_response *response, const char *name);
/* What a response holds; not needed after a refusal. */
void st_http_free(st_http_response *response);

/* == The run itself ====================================================================== */

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

/* Nothing there if the text is no JSON, or more than 128 deep. */
st_json st_parse(const char *text);
st_kind st_kind_of(st_json value);
/* Nothing there if the value is no object, or has no such key. */
st_json st_get(st_json object, const char *key);
/* The items of an array, one after the other: first with {0}, then with the one before.
 * Of an object, the values. */
st_json st_next(st_json container, st_json before);
/* The key of a value that st_next returned; NULL in an array. */
char *st_key_of(st_json container, st_json item);
/* These return false, and leave what is there, if the value is something else; st_int also
 * if it is no whole number of 64 bits. */
bool st_int(st_json value, int64_t *number);
bool st_double(st_json value, double *number);
bool st_bool(st_json value, bool *truth);
/* A string's text; NULL for any other value. The length is for texts with \u0000. */
char *st_string(st_json value, size_t *len);
/* The value as text, to send it on. */
char *st_text(st_json value);

/* Writes text: %q a string as JSON, with quotes (NULL is null); %j an st_json; %s a string as
 * it is; %b a bool; %g a double as JSON; and of printf %d %i %u %x %c %%, with l, ll, z
 * before them. Any other is an error, and the result NULL. */
char *st_format(const char *format, ...);
char *st_vformat(const char *format, va_list arguments);

#ifdef __cplusplus
}
#endif
#endif
