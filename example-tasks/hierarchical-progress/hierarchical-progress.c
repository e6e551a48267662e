/* Progress as a tree: a workflow, its steps, and their subtasks. The host computes the totals. */
#include <streamtask.h>
#include <string.h>

typedef struct {
    const char *id, *parent;
    double weight;
    int64_t parts; /* 0: it has items below it */
} item;

static const item ITEMS[] = {
    {"workflow", NULL, -1, 0},
    {"fetch", "workflow", 1, 0},
    {"fetch-index", "fetch", 1, 2},
    {"fetch-pages", "fetch", 4, 8},
    {"analyse", "workflow", 3, 0},
    {"analyse-text", "analyse", 2, 5},
    {"analyse-images", "analyse", 1, 3},
    {"publish", "workflow", 1, 2},
};
enum { ITEM_COUNT = sizeof ITEMS / sizeof *ITEMS };

static int64_t delay_ms = 100;
static char *skipped = NULL, *failing = NULL;

static bool is(const char *id, const char *other) {
    return id != NULL && other != NULL && strcmp(id, other) == 0;
}

/* Announces all items first, so that viewers see the total work at once. */
static st_status announce(void) {
    for (int i = 0; i < ITEM_COUNT; i++) {
        const item *each = &ITEMS[i];
        ST_TRY(st_progress(.id = each->id, .parent = each->parent, .weight = each->weight,
                           .status = "waiting", .total = each->parts > 0 ? each->parts : -1));
    }
    return ST_OK;
}

static st_status do_parts(const item *one) {
    for (int64_t done = 1; done <= one->parts; done++) {
        ST_TRY(st_sleep((uint32_t)delay_ms)); /* simulates the real work */
        if (is(one->id, failing) && done == 2) {
            ST_TRY(st_progress(.id = one->id, .status = "failed", .message = "as the input asked"));
            return st_fail("item-failed", "%s failed at part %lld of %lld", one->id, (long long)done,
                           (long long)one->parts);
        }
        ST_TRY(st_progress(.id = one->id, .done = done));
    }
    return ST_OK;
}

/* At most as deep as ITEMS. */
static st_status work_on(const item *one) {
    if (is(one->id, skipped)) return st_progress(.id = one->id, .status = "skipped");
    ST_TRY(st_progress(.id = one->id, .status = "running"));
    st_status status = do_parts(one);
    for (int i = 0; i < ITEM_COUNT && status == ST_OK; i++)
        if (is(ITEMS[i].parent, one->id)) status = work_on(&ITEMS[i]);
    if (status == ST_OK) return st_progress(.id = one->id, .status = "completed");
    /* What is above it fails with it, and says so; it is the run's failure that counts. */
    if (status == ST_FAILED && one->parts == 0) st_progress(.id = one->id, .status = "failed");
    return status;
}

st_status st_task(st_json input) {
    st_json delay = st_get(input, "delay_ms");
    if (delay.at != NULL && (!st_int(delay, &delay_ms) || delay_ms < 0 || delay_ms > 60 * 1000))
        return st_fail("invalid-input", "delay_ms has to be an integer from 0 to 60000");
    skipped = st_string(st_get(input, "skip"), NULL);
    failing = st_string(st_get(input, "fail"), NULL);
    ST_TRY(announce());
    ST_TRY(work_on(&ITEMS[0]));
    return st_resultf("{\"items\":%d}", ITEM_COUNT);
}

const char *st_describe(void) {
    return "{\"description\":\"Reports progress as a tree of items with weights.\","
           "\"input_schema\":{\"type\":\"object\",\"properties\":{"
           "\"delay_ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":60000,\"default\":100,"
           "\"description\":\"Duration of each part.\"},"
           "\"skip\":{\"type\":\"string\",\"description\":\"The item to skip.\"},"
           "\"fail\":{\"type\":\"string\",\"description\":\"The item that fails in its second part.\"}"
           "},\"additionalProperties\":false}}";
}
