/* Reading and writing JSON. Independent of the host. */
#include "streamtask.h"

#include "internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The host's limit; also limits the stack that parsing can use. */
#define MAX_DEPTH 128

/* == Growing text ======================================================================= */

typedef struct {
    char *at;
    size_t len, room;
} buffer;

static void put(buffer *to, const char *text, size_t len) {
    if (len >= to->room - to->len) {
        to->room = (to->len + len + 1) * 2;
        to->at = (char *)realloc(to->at, to->room);
        /* Without memory, a guest can't continue. */
        if (to->at == NULL) abort();
    }
    memcpy(to->at + to->len, text, len);
    to->len += len;
    to->at[to->len] = 0;
}

static void put_char(buffer *to, char c) {
    put(to, &c, 1);
}

/* == Checking =========================================================================== */

static const char *skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Each returns the end of the element, or NULL if it is invalid. */

static const char *check_string(const char *at, const char *end) {
    if (at == end || *at++ != '"') return NULL;
    while (at < end && *at != '"') {
        if ((unsigned char)*at < ' ') return NULL;
        if (*at++ != '\\') continue;
        if (at == end) return NULL;
        if (*at == 'u') {
            if (end - at < 5) return NULL;
            for (int i = 1; i <= 4; i++)
                if (hex_digit(at[i]) < 0) return NULL;
            at += 5;
        } else if (memchr("\"\\/bfnrt", *at, 8) == NULL) {
            return NULL;
        } else {
            at++;
        }
    }
    return at < end ? at + 1 : NULL;
}

static const char *check_digits(const char *at, const char *end) {
    const char *from = at;
    while (at < end && is_digit(*at)) at++;
    return at > from ? at : NULL;
}

static const char *check_number(const char *at, const char *end) {
    if (at < end && *at == '-') at++;
    if (at < end && *at == '0')
        at++;
    else if ((at = check_digits(at, end)) == NULL)
        return NULL;
    if (at < end && *at == '.' && (at = check_digits(at + 1, end)) == NULL) return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        at = check_digits(at, end);
    }
    return at;
}

static const char *check_word(const char *at, const char *end, const char *word) {
    size_t len = strlen(word);
    return (size_t)(end - at) >= len && memcmp(at, word, len) == 0 ? at + len : NULL;
}

static const char *check_value(const char *at, const char *end, int depth);

static const char *check_items(const char *at, const char *end, int depth, char close) {
    at = skip_space(at + 1, end);
    if (at < end && *at == close) return at + 1;
    for (;;) {
        if (close == '}') {
            at = check_string(skip_space(at, end), end);
            if (at == NULL) return NULL;
            at = skip_space(at, end);
            if (at == end || *at++ != ':') return NULL;
        }
        at = check_value(at, end, depth + 1);
        if (at == NULL) return NULL;
        at = skip_space(at, end);
        if (at == end) return NULL;
        if (*at == close) return at + 1;
        if (*at++ != ',') return NULL;
    }
}

static const char *check_value(const char *at, const char *end, int depth) {
    at = skip_space(at, end);
    if (at == end || depth > MAX_DEPTH) return NULL;
    switch (*at) {
    case '{': return check_items(at, end, depth, '}');
    case '[': return check_items(at, end, depth, ']');
    case '"': return check_string(at, end);
    case 't': return check_word(at, end, "true");
    case 'f': return check_word(at, end, "false");
    case 'n': return check_word(at, end, "null");
    default: return check_number(at, end);
    }
}

st_json st_parse(const char *text) {
    st_json nothing = {NULL, 0};
    if (text == NULL) return nothing;
    const char *end = text + strlen(text);
    const char *begin = skip_space(text, end);
    const char *done = check_value(begin, end, 1);
    if (done == NULL || skip_space(done, end) != end) return nothing;
    return (st_json){begin, (size_t)(done - begin)};
}

/* == Reading of checked text ============================================================= */

st_kind st_kind_of(st_json value) {
    if (value.at == NULL || value.len == 0) return ST_NOTHING;
    switch (*value.at) {
    case '{': return ST_OBJECT;
    case '[': return ST_ARRAY;
    case '"': return ST_STRING;
    case 't':
    case 'f': return ST_BOOL;
    case 'n': return ST_NULL;
    default: return ST_NUMBER;
    }
}

static const char *end_of_string(const char *at) {
    for (at++; *at != '"'; at++)
        if (*at == '\\') at++;
    return at + 1;
}

/* Counts brackets instead of recursing. */
static const char *end_of_value(const char *at, const char *end) {
    int depth = 0;
    do {
        switch (*at) {
        case '{':
        case '[': depth++, at++; break;
        case '}':
        case ']': depth--, at++; break;
        case '"': at = end_of_string(at); break;
        default:
            /* Skips other characters up to the next mark; between values, these are spaces. */
            at++;
            while (at < end && memchr("{}[]\",: \t\n\r", *at, 11) == NULL) at++;
        }
    } while (depth > 0 && at < end);
    return at;
}

/* The next item after `at`, and its key. */
static st_json item_at(st_json container, const char *at, const char **key) {
    const char *end = container.at + container.len;
    at = skip_space(at, end);
    if (at < end && *at == ',') at = skip_space(at + 1, end);
    if (at >= end || *at == ']' || *at == '}') return (st_json){NULL, 0};
    *key = NULL;
    if (*container.at == '{') {
        *key = at;
        at = skip_space(end_of_string(at), end);
        at = skip_space(at + 1, end);
    }
    return (st_json){at, (size_t)(end_of_value(at, end) - at)};
}

static st_json next_item(st_json container, st_json before, const char **key) {
    st_kind kind = st_kind_of(container);
    if (kind != ST_ARRAY && kind != ST_OBJECT) return (st_json){NULL, 0};
    const char *at = before.at == NULL ? container.at + 1 : before.at + before.len;
    return item_at(container, at, key);
}

st_json st_next(st_json container, st_json before) {
    const char *key;
    return next_item(container, before, &key);
}

char *st_key_of(st_json container, st_json item) {
    const char *key = NULL;
    for (st_json each = {NULL, 0}; (each = next_item(container, each, &key)).at != NULL;)
        if (each.at == item.at && key != NULL)
            return st_string((st_json){key, (size_t)(end_of_string(key) - key)}, NULL);
    return NULL;
}

st_json st_get(st_json object, const char *key) {
    st_json found = {NULL, 0};
    if (st_kind_of(object) != ST_OBJECT) return found;
    const char *at = NULL;
    size_t len = strlen(key);
    for (st_json each = {NULL, 0}; (each = next_item(object, each, &at)).at != NULL;) {
        size_t got = 0;
        char *name = st_string((st_json){at, (size_t)(end_of_string(at) - at)}, &got);
        /* The last of several members with the same name counts, as in most parsers. */
        if (got == len && memcmp(name, key, len) == 0) found = each;
        free(name);
    }
    return found;
}

bool st_bool(st_json value, bool *truth) {
    if (st_kind_of(value) != ST_BOOL) return false;
    *truth = *value.at == 't';
    return true;
}

bool st_double(st_json value, double *number) {
    if (st_kind_of(value) != ST_NUMBER) return false;
    /* The character after a number can't be part of it, so strtod stops at its end. */
    *number = strtod(value.at, NULL);
    return true;
}

bool st_int(st_json value, int64_t *number) {
    if (st_kind_of(value) != ST_NUMBER) return false;
    bool negative = *value.at == '-';
    uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX, sum = 0;
    for (size_t i = negative; i < value.len; i++) {
        if (!is_digit(value.at[i])) return false;
        uint64_t digit = (uint64_t)(value.at[i] - '0');
        if (sum > (most - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *number = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

static uint32_t read_hex(const char *at) {
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) unit = unit << 4 | (uint32_t)hex_digit(at[i]);
    return unit;
}

static void put_utf8(buffer *to, uint32_t c) {
    if (c < 0x80) {
        put_char(to, (char)c);
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    put_char(to, (char)((0xFF00 >> (more + 1)) | (c >> (6 * more))));
    while (more-- > 0) put_char(to, (char)(0x80 | ((c >> (6 * more)) & 0x3F)));
}

/* Reads what follows a backslash and u; half a pair becomes U+FFFD. */
static const char *put_escaped_unit(buffer *to, const char *at, const char *end) {
    uint32_t c = read_hex(at);
    at += 4;
    bool high = c >= 0xD800 && c < 0xDC00, low = c >= 0xDC00 && c < 0xE000;
    if (high && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        uint32_t second = read_hex(at + 2);
        if (second >= 0xDC00 && second < 0xE000) {
            put_utf8(to, 0x10000 + ((c - 0xD800) << 10) + (second - 0xDC00));
            return at + 6;
        }
    }
    put_utf8(to, high || low ? 0xFFFD : c);
    return at;
}

char *st_string(st_json value, size_t *len) {
    if (st_kind_of(value) != ST_STRING) return NULL;
    buffer text = {NULL, 0, 0};
    put(&text, "", 0);
    const char *end = value.at + value.len - 1;
    for (const char *at = value.at + 1; at < end;) {
        if (*at != '\\') {
            const char *from = at;
            while (at < end && *at != '\\') at++;
            put(&text, from, (size_t)(at - from));
            continue;
        }
        at++;
        switch (*at) {
        case 'u': at = put_escaped_unit(&text, at + 1, end); continue;
        case 'b': put_char(&text, '\b'); break;
        case 'f': put_char(&text, '\f'); break;
        case 'n': put_char(&text, '\n'); break;
        case 'r': put_char(&text, '\r'); break;
        case 't': put_char(&text, '\t'); break;
        default: put_char(&text, *at);
        }
        at++;
    }
    if (len != NULL) *len = text.len;
    return text.at;
}

char *st_text(st_json value) {
    buffer text = {NULL, 0, 0};
    put(&text, "", 0);
    if (value.at != NULL) put(&text, value.at, value.len);
    return text.at;
}

/* == Writing ============================================================================ */

static void put_quoted(buffer *to, const char *given) {
    if (given == NULL) {
        put(to, "null", 4);
        return;
    }
    char *mended = st_internal_mended(given);
    const char *text = mended == NULL ? given : mended;
    put_char(to, '"');
    while (*text != 0) {
        const char *from = text;
        while ((unsigned char)*text >= ' ' && *text != '"' && *text != '\\') text++;
        put(to, from, (size_t)(text - from));
        if (*text == 0) break;
        char escaped[8];
        if (*text == '"' || *text == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", *text);
        else
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)(unsigned char)*text);
        put(to, escaped, strlen(escaped));
        text++;
    }
    put_char(to, '"');
    free(mended);
}

/* The shortest digits that parse to the same number. */
static void put_double(buffer *to, double number) {
    char digits[40] = "null"; /* JSON has no infinity */
    if (isfinite(number)) {
        for (int precision = 1; precision <= 17; precision++) {
            snprintf(digits, sizeof digits, "%.*g", precision, number);
            if (strtod(digits, NULL) == number) break;
        }
    }
    put(to, digits, strlen(digits));
}

static void put_signed(buffer *to, int64_t number) {
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, number);
    put(to, digits, strlen(digits));
}

static void put_unsigned(buffer *to, uint64_t number, bool hexadecimal) {
    char digits[24];
    snprintf(digits, sizeof digits, hexadecimal ? "%" PRIx64 : "%" PRIu64, number);
    put(to, digits, strlen(digits));
}

char *st_vformat(const char *format, va_list given) {
    /* On some targets, the address of a va_list parameter can't be passed on. */
    va_list arguments;
    va_copy(arguments, given);
    buffer text = {NULL, 0, 0};
    put(&text, "", 0);
    for (const char *at = format; *at != 0; at++) {
        if (*at != '%') {
            put_char(&text, *at);
            continue;
        }
        int longs = 0;
        bool size = false;
        for (at++; *at == 'l' || *at == 'z'; at++) {
            if (*at == 'l') longs++;
            else size = true;
        }
        switch (*at) {
        case '%': put_char(&text, '%'); break;
        case 'c': put_char(&text, (char)va_arg(arguments, int)); break;
        case 'b': {
            const char *truth = va_arg(arguments, int) ? "true" : "false";
            put(&text, truth, strlen(truth));
            break;
        }
        case 'q': put_quoted(&text, va_arg(arguments, const char *)); break;
        case 's': {
            const char *raw = va_arg(arguments, const char *);
            put(&text, raw, strlen(raw));
            break;
        }
        case 'j': {
            st_json value = va_arg(arguments, st_json);
            if (value.at == NULL) value = (st_json){"null", 4};
            put(&text, value.at, value.len);
            break;
        }
        case 'g': put_double(&text, va_arg(arguments, double)); break;
        case 'd':
        case 'i':
            put_signed(&text, size         ? (int64_t)va_arg(arguments, ptrdiff_t)
                              : longs >= 2 ? va_arg(arguments, long long)
                              : longs == 1 ? va_arg(arguments, long)
                                           : va_arg(arguments, int));
            break;
        case 'u':
        case 'x':
            put_unsigned(&text,
                         size         ? va_arg(arguments, size_t)
                         : longs >= 2 ? va_arg(arguments, unsigned long long)
                         : longs == 1 ? va_arg(arguments, unsigned long)
                                      : va_arg(arguments, unsigned),
                         *at == 'x');
            break;
        default:
            va_end(arguments);
            free(text.at);
            return NULL;
        }
    }
    va_end(arguments);
    return text.at;
}

char *st_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = st_vformat(format, arguments);
    va_end(arguments);
    return text;
}
