/* Native tests of reading and writing JSON, and of repairing text: `make test`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../internal.h"
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

/* `want` is NULL if the text stays unchanged. */
static void mended_is(const char *text, const char *want) {
    char *mended = st_internal_mended(text);
    EXPECT(want == NULL ? mended == NULL : same(mended, want));
    free(mended);
}

#define R "\xef\xbf\xbd"

static void each_broken_sequence_is_replaced_once(void) {
    mended_is("", NULL);
    mended_is("plain text of more than eight bytes", NULL);
    mended_is("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" R, NULL);
    /* Truncated sequences: at the end, and before other text. */
    mended_is("a\xf0\x9f\x8e", "a" R);
    mended_is("a\xf0\x9f\x8e" "b", "a" R "b");
    mended_is("a\xe4" "bc", "a" R "bc");
    mended_is("plain text, and then\xe4\xc3\xa9", "plain text, and then" R "\xc3\xa9");
    /* A byte that can't start a character is a sequence of its own: see table 3-8 of the Unicode Standard. */
    mended_is("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82" "A", R R R R R R R R "A");
    mended_is("\xed\xa0\x80\xed\xbf\xbf\xed\xaf" "A", R R R R R R R R "A");
    mended_is("\xf4\x91\x92\x93\xff" "A\x80\xbf" "B", R R R R R "A" R R "B");
    mended_is("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf" "A", R R R R "A");
}

static void broken_text_is_quoted_as_json(void) {
    EXPECT(same(st_format("%q", "a\xf0\x9f\x8e\"b"), "\"a" R "\\\"b\""));
    EXPECT(st_parse(st_format("{%q:%q}", "\xe4", "\xf0\x9f")).at != NULL);
}

static void texts_are_lent_until_they_are_taken_back(void) {
    const char *fine = "fine \xc3\xa9";
    EXPECT(st_internal_lent(fine) == fine);
    EXPECT(same(st_internal_lent(NULL), ""));
    const char *one = st_internal_lent("1\xff"), *other = st_internal_lent("2\xff");
    EXPECT(same(one, "1" R) && same(other, "2" R));
    st_internal_take_back();
    st_internal_take_back();
    EXPECT(same(st_internal_lent("3\xff"), "3" R));
    st_internal_take_back();
}

int main(void) {
    what_is_no_json_is_nothing();
    values_are_found_by_key_and_in_order();
    numbers_are_what_they_say();
    texts_are_read_and_written_as_they_are();
    each_broken_sequence_is_replaced_once();
    broken_text_is_quoted_as_json();
    texts_are_lent_until_they_are_taken_back();
    if (failed == 0) puts("ok");
    return failed != 0;
}
