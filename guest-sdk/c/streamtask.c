/* The functions for tasks, over the generated bindings of the contract. */
#include "streamtask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/contract.h"
#include "internal.h"

/* == Text: zero-terminated here, with a length in the bindings =========================== */

static contract_string_t lent(const char *text) {
    contract_string_t given;
    contract_string_set(&given, st_internal_lent(text));
    return given;
}

static contract_option_string_t lent_if_any(const char *text) {
    return (contract_option_string_t){text != NULL, lent(text)};
}

/* Zero-terminates text from the host. The address of an empty text is not allocated memory. */
static char *kept(contract_string_t text) {
    char *copy = (char *)realloc(text.len == 0 ? NULL : text.ptr, text.len + 1);
    if (copy == NULL) abort();
    copy[text.len] = 0;
    return copy;
}

static char *kept_if_any(contract_option_string_t text) {
    return text.is_some ? kept(text.val) : NULL;
}

static char *copied(const char *text) {
    return text == NULL ? NULL : st_format("%s", text);
}

/* == Errors ============================================================================= */

static const char *const STATUS_NAMES[] = {
    "ok",        "invalid-argument", "too-large", "limit-exceeded", "denied",    "not-found",
    "conflict",  "unavailable",      "internal",  "cancelled",      "timed-out", "failed",
};

const char *st_status_name(st_status status) {
    size_t count = sizeof STATUS_NAMES / sizeof *STATUS_NAMES;
    return (size_t)status < count ? STATUS_NAMES[status] : "unknown";
}

static struct {
    st_status status;
    char *message;
} last = {ST_OK, NULL};

const char *st_last_error(void) {
    return last.message == NULL ? "" : last.message;
}

st_status st_internal_refuse(st_status status, char *message) {
    free(last.message);
    last.status = status;
    last.message = message;
    return status;
}

/* Called after each call with lent texts. */
static st_status check(bool ok, streamtask_task_types_error_t *error) {
    st_internal_take_back();
    /* The contract's codes start at 0, which is ST_OK here. */
    return ok ? ST_OK : st_internal_refuse((st_status)(error->code + 1), kept(error->message));
}

static st_status cancelled(void) {
    return st_internal_refuse(ST_CANCELLED, copied("the run was cancelled"));
}

st_status st_internal_bad_format(void) {
    return st_internal_refuse(ST_INVALID_ARGUMENT,
                              copied("the format has a conversion that st_format does not know"));
}

/* == The outcome of the run ============================================================= */

static char *result = NULL;
static struct {
    char *message, *code, *details;
    bool retryable;
    uint32_t retry_after_ms;
} failure = {NULL, NULL, NULL, false, 0};

st_status st_result(const char *json) {
    char *copy = copied(json);
    free(result);
    result = copy;
    return ST_OK;
}

st_status st_resultf(const char *format, ...) {
    WITH_FORMATTED(json, format, st_result(json));
}

st_status st_fail_with(const st_failure *why) {
    failure.message = copied(why->message == NULL ? "" : why->message);
    failure.code = copied(why->code);
    failure.details = copied(why->details);
    failure.retryable = why->retryable;
    failure.retry_after_ms = why->retry_after_ms;
    return ST_FAILED;
}

static st_status fail_by(const char *code, const char *message) {
    return st_fail_with(&(st_failure){.code = code, .message = message});
}

st_status st_fail(const char *code, const char *format, ...) {
    WITH_FORMATTED(message, format, fail_by(code, message));
}

/* The failure for a status without st_fail: the last error, if it has the same status. */
static void fail_by_status(st_status status) {
    const char *message = status == last.status ? st_last_error() : "the task returned an error";
    st_fail_with(&(st_failure){
        .code = st_status_name(status),
        .message = message,
        .retryable = status == ST_UNAVAILABLE,
    });
}

static contract_string_t handed_over(const char *text) {
    contract_string_t given;
    char *mended = st_internal_mended(text);
    if (mended == NULL)
        contract_string_dup(&given, text);
    else
        contract_string_set(&given, mended);
    return given;
}

static contract_option_string_t handed_over_if_any(const char *text) {
    contract_option_string_t given = {text != NULL, {NULL, 0}};
    if (text != NULL) given.val = handed_over(text);
    return given;
}

bool exports_contract_process(contract_string_t *input, contract_string_t *ret,
                              contract_failure_t *err) {
    st_status status = st_task(st_parse(kept(*input)));
    if (status == ST_OK) {
        *ret = handed_over(result == NULL ? "null" : result);
        return true;
    }
    if (status != ST_FAILED || failure.message == NULL) fail_by_status(status);
    err->message = handed_over(failure.message);
    err->code = handed_over_if_any(failure.code);
    err->details = handed_over_if_any(failure.details);
    err->retryable = failure.retryable;
    err->retry_after_ms.is_some = failure.retryable && failure.retry_after_ms > 0;
    err->retry_after_ms.val = failure.retry_after_ms;
    return false;
}

__attribute__((weak)) const char *st_describe(void) {
    return "{}";
}

void exports_contract_describe(contract_string_t *ret) {
    *ret = handed_over(st_describe());
}

/* == Events ============================================================================= */

st_status st_send(const char *type, const char *json) {
    contract_string_t t = lent(type), data = lent(json);
    streamtask_task_types_error_t error;
    return check(streamtask_task_events_send_event(&t, &data, &error), &error);
}

st_status st_sendf(const char *type, const char *format, ...) {
    WITH_FORMATTED(json, format, st_send(type, json));
}

st_status st_send_on(const char *channel, const char *type, const char *json) {
    contract_string_t on = lent(channel), t = lent(type), data = lent(json);
    streamtask_task_types_error_t error;
    return check(streamtask_task_events_send_event_on(&on, &t, &data, &error), &error);
}

st_status st_send_bytes(const char *channel, const char *type, const char *content_type,
                        const void *bytes, size_t len) {
    contract_string_t on = lent(channel), t = lent(type), media = lent(content_type);
    contract_list_u8_t data = {(uint8_t *)bytes, len};
    streamtask_task_types_error_t error;
    return check(streamtask_task_events_send_bytes(&on, &t, &media, &data, &error), &error);
}

st_status st_flush(void) {
    streamtask_task_types_error_t error;
    return check(streamtask_task_events_flush(&error), &error);
}

st_status st_stream(char *(*next)(void *state), void *state) {
    for (;;) {
        if (st_cancelled()) return cancelled();
        char *value = next(state);
        if (value == NULL) return ST_OK;
        st_status status = st_send("progress", value);
        st_result(value);
        free(value);
        if (status != ST_OK) return status;
    }
}

/* == Waiting, signals and parameters ==================================================== */

st_status st_sleep(uint32_t ms) {
    return streamtask_task_control_sleep_ms(ms) ? ST_OK : cancelled();
}

bool st_cancelled(void) {
    return streamtask_task_control_cancelled();
}

bool st_remaining_ms(uint32_t *ms) {
    return streamtask_task_run_remaining_ms(ms);
}

/* The error of a wait without a result. */
static st_status wait_failed(const char *what) {
    if (st_cancelled()) return cancelled();
    return st_internal_refuse(ST_TIMED_OUT, st_format("no %s within the timeout", what));
}

st_status st_receive_signal(const char *name, uint32_t timeout_ms, st_signal *signal) {
    contract_string_t wanted = lent(name);
    streamtask_task_control_signal_t got;
    bool came = streamtask_task_control_receive_signal(
        name == NULL ? NULL : &wanted, timeout_ms == ST_FOREVER ? NULL : &timeout_ms, &got);
    st_internal_take_back();
    if (!came) return wait_failed("signal");
    signal->name = kept(got.name);
    signal->payload = st_parse(kept(got.payload));
    return ST_OK;
}

bool st_parameter(const char *name, st_json *value) {
    contract_string_t wanted = lent(name), got;
    bool is_set = streamtask_task_control_parameter(&wanted, &got);
    st_internal_take_back();
    if (!is_set) return false;
    *value = st_parse(kept(got));
    return true;
}

/* == Checkpoints ======================================================================== */

st_status st_save_bytes(const char *key, const void *bytes, size_t len) {
    contract_string_t k = lent(key);
    contract_list_u8_t value = {(uint8_t *)bytes, len};
    streamtask_task_types_error_t error;
    return check(streamtask_task_checkpoints_save(&k, &value, &error), &error);
}

st_status st_save(const char *key, const char *json) {
    const char *text = st_internal_lent(json);
    return st_save_bytes(key, text, strlen(text));
}

st_status st_load_bytes(const char *key, uint8_t **bytes, size_t *len) {
    contract_string_t k = lent(key);
    contract_option_list_u8_t got;
    streamtask_task_types_error_t error;
    ST_TRY(check(streamtask_task_checkpoints_load(&k, &got, &error), &error));
    *bytes = NULL;
    *len = 0;
    if (got.is_some) {
        /* Zero-terminated for st_load, and never NULL, even if empty. */
        *bytes = (uint8_t *)kept((contract_string_t){got.val.ptr, got.val.len});
        *len = got.val.len;
    }
    return ST_OK;
}

st_status st_load(const char *key, st_json *value) {
    uint8_t *bytes;
    size_t len;
    ST_TRY(st_load_bytes(key, &bytes, &len));
    *value = st_parse((const char *)bytes);
    if (bytes != NULL && value->at == NULL)
        return st_internal_refuse(ST_INVALID_ARGUMENT, st_format("the checkpoint %q is not JSON", key));
    return ST_OK;
}

st_status st_load_int(const char *key, int64_t *number) {
    st_json value;
    ST_TRY(st_load(key, &value));
    if (value.at == NULL || st_int(value, number)) return ST_OK;
    return st_internal_refuse(ST_INVALID_ARGUMENT,
                              st_format("the checkpoint %q is not an integer but %j", key, value));
}

st_status st_remove(const char *key) {
    contract_string_t k = lent(key);
    streamtask_task_types_error_t error;
    return check(streamtask_task_checkpoints_remove(&k, &error), &error);
}

/* == Child runs ========================================================================= */

st_status st_start_child(const char *task, const char *input, const st_child_options *options,
                         const char **run) {
    st_child_options usual = {NULL, false, false, 0};
    if (options == NULL) options = &usual;
    streamtask_task_children_options_t given = {
        .key = lent_if_any(options->key),
        .detached = options->detached,
        .priority = {options->has_priority, options->priority},
    };
    contract_string_t name = lent(task), json = lent(input), id;
    streamtask_task_types_error_t error;
    ST_TRY(check(streamtask_task_children_start(&name, &json, &given, &id, &error), &error));
    *run = kept(id);
    return ST_OK;
}

static st_outcome kept_outcome(streamtask_task_children_outcome_t *ended) {
    st_outcome outcome = {ST_CHILD_COMPLETED, {NULL, 0}, NULL, NULL, NULL};
    switch (ended->tag) {
    case STREAMTASK_TASK_CHILDREN_OUTCOME_COMPLETED:
        outcome.value = st_parse(kept(ended->val.completed));
        break;
    case STREAMTASK_TASK_CHILDREN_OUTCOME_FAILED:
        outcome.how = ST_CHILD_FAILED;
        outcome.kind = kept(ended->val.failed.kind);
        outcome.message = kept(ended->val.failed.message);
        outcome.code = kept_if_any(ended->val.failed.code);
        outcome.value = st_parse(kept_if_any(ended->val.failed.details));
        break;
    default:
        outcome.how = ST_CHILD_CANCELLED;
        outcome.value = st_parse(kept_if_any(ended->val.cancelled));
    }
    return outcome;
}

st_status st_wait_any(const char *const *runs, size_t count, uint32_t timeout_ms, size_t *index,
                      st_outcome *outcome) {
    contract_list_string_t list = {NULL, count};
    list.ptr = (contract_string_t *)calloc(count + 1, sizeof *list.ptr);
    if (list.ptr == NULL) abort();
    for (size_t i = 0; i < count; i++) list.ptr[i] = lent(runs[i]);
    streamtask_task_children_option_tuple2_u32_outcome_t got;
    streamtask_task_types_error_t error;
    st_status status = check(
        streamtask_task_children_wait(&list, timeout_ms == ST_FOREVER ? NULL : &timeout_ms, &got, &error),
        &error);
    free(list.ptr);
    if (status != ST_OK) return status;
    if (!got.is_some) return wait_failed("ended child");
    if (index != NULL) *index = got.val.f0;
    *outcome = kept_outcome(&got.val.f1);
    return ST_OK;
}

st_status st_wait(const char *run, st_outcome *outcome) {
    return st_wait_any(&run, 1, ST_FOREVER, NULL, outcome);
}

st_status st_cancel_child(const char *run) {
    contract_string_t id = lent(run);
    streamtask_task_types_error_t error;
    return check(streamtask_task_children_cancel(&id, &error), &error);
}

/* == The current run ==================================================================== */

const st_info_data *st_info(void) {
    static st_info_data info;
    if (info.id != NULL) return &info;
    streamtask_task_run_run_info_t got;
    streamtask_task_run_info(&got);
    info.app = kept(got.app);
    info.task = kept(got.task);
    info.version = kept(got.version);
    info.attempt = got.attempt;
    info.labels = got.labels.len;
    const char **names = (const char **)calloc(got.labels.len + 1, sizeof *names);
    const char **values = (const char **)calloc(got.labels.len + 1, sizeof *values);
    if (names == NULL || values == NULL) abort();
    for (size_t i = 0; i < got.labels.len; i++) {
        names[i] = kept(got.labels.ptr[i].f0);
        values[i] = kept(got.labels.ptr[i].f1);
    }
    info.label_names = names;
    info.label_values = values;
    info.id = kept(got.id);
    return &info;
}
