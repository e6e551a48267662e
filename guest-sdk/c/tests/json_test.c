/* Reading and writing JSON, on this machine: `make test`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../streamtask.h"

static int failed = 0;

#define EXPECT(condition)                                                    \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            failed++;                                                        \
        }                                                                    \
    } while (0)

static bool same(const char *got, const char *want) {
    bool same = got != NULL && strcmp(got, want) == 0;
    if (!same) fprintf(stderr, "got  %s\nwant %s\n", got == NULL ? "nothing" : got, want);
    return same;
}

static void what_is_no_json_is_nothing(void) {
    const char *bad[] = {
        "",      " ",     "{",     "[",      "[1,]",   "{\"a\"}", "{\"a\":}", "{a:1}",  "01",
        "1.",    ".5",    "+1",    "-",      "1e",     "tru",     "nul",      "\"",     "\"\\x\"",
        "\"\n\"", "\"\\u12g4\"", "\"\\", "1 2",    "[1 2]",  "]",       "{\"a\":1,}", "'a'", "\"\\u12",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (st_parse(bad[i]).at != NULL) fprintf(stderr, "taken: %s\n", bad[i]), failed++;
    EXPECT(st_parse(NULL).at == NULL);
    char deep[400] = {0};
    memset(deep, '[', 128), memset(deep + 128, ']', 128);
    EXPECT(st_parse(deep).at != NULL);
    memset(deep, '[', 129), memset(deep + 129, ']', 129);
    EXPECT(st_parse(deep).at == NULL);
}

static void values_are_found_by_key_and_in_order(void) {
    st_json all = st_parse(" {\"a\" : [1, {\"x\":\"]}\\\"\"} ,\"t\", []] , \"b\\u0063\":null,\"a2\":-0.5e1,\"d\":1,\"d\":2} ");
    EXPECT(st_kind_of(all) == ST_OBJECT);
    st_json list = st_get(all, "a"), each = {0};
    const char *want[] = {"1", "{\"x\":\"]}\\\"\"}", "\"t\"", "[]"};
    for (size_t i = 0; i < 4; i++) {
        each = st_next(list, each);
        EXPECT(same(st_text(each), want[i]));
    }
    EXPECT(st_next(list, each).at == NULL);
    EXPECT(st_kind_of(st_get(all, "bc")) == ST_NULL);
    EXPECT(same(st_key_of(all, st_get(all, "bc")), "bc"));
    EXPECT(st_key_of(list, st_next(list, (st_json){0})) == NULL);
    EXPECT(same(st_text(st_get(all, "d")), "2"));
    EXPECT(st_get(all, "none").at == NULL);
    EXPECT(st_get(list, "a").at == NULL);
    EXPECT(st_get((st_json){0}, "a").at == NULL);
    EXPECT(st_next(st_parse("{}"), (st_json){0}).at == NULL);
    EXPECT(st_next(st_parse("1"), (st_json){0}).at == NULL);
}

static void numbers_are_what_they_say(void) {
    int64_t n = 7;
    EXPECT(st_int(st_parse("9223372036854775807"), &n) && n == INT64_MAX);
    EXPECT(st_int(st_parse("-9223372036854775808"), &n) && n == INT64_MIN);
    n = 7;
    const char *no_integers[] = {"9223372036854775808", "1.0", "1e2", "\"1\"", "null", "99999999999999999999"};
    for (size_t i = 0; i < 6; i++) EXPECT(!st_int(st_parse(no_integers[i]), &n) && n == 7);
    double d;
    EXPECT(st_double(st_parse("-0.5e1"), &d) && d == -5);
    bool b;
    EXPECT(st_bool(st_parse("true"), &b) && b && st_bool(st_parse("false"), &b) && !b);
    EXPECT(!st_bool(st_parse("1"), &b));
}

static void texts_are_read_and_written_as_they_are(void) {
    size_t len;
    char *text = st_string(st_parse("\"a\\u0000\\n\\/\\ud83d\\ude00\\ud83dx\\u00e9\xc3\xa9\""), &len);
    EXPECT(len == 16 && memcmp(text, "a\0\n/\xf0\x9f\x98\x80\xef\xbf\xbdx\xc3\xa9\xc3\xa9", 16) == 0);
    EXPECT(st_string(st_parse("1"), NULL) == NULL);
    EXPECT(same(st_format("%q", "a\"\\\n\x01\xc3\xa9<"), "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9<\""));
    EXPECT(same(st_format("%q%s%%%c", NULL, "<", 'x'), "null<%x"));
    EXPECT(same(st_format("%b %b %j %j", 1, 0, st_parse("[1]"), (st_json){0}), "true false [1] null"));
    EXPECT(same(st_format("%d %i %u %x %ld %llu %zu", -1, 2, 3u, 255u, -4L, 5ULL, (size_t)6), "-1 2 3 ff -4 5 6"));
    EXPECT(same(st_format("%g %g %g %g", 0.1, 1e300, 3.0, 1.0 / 0.0), "0.1 1e+300 3 null"));
    EXPECT(st_format("%y", 1) == NULL);
    EXPECT(st_format("%") == NULL);
}

int main(void) {
    what_is_no_json_is_nothing();
    values_are_found_by_key_and_in_order();
    numbers_are_what_they_say();
    texts_are_read_and_written_as_they_are();
    if (failed == 0) puts("ok");
    return failed != 0;
}
