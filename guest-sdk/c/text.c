/* Repairs invalid UTF-8, which neither JSON nor the host accepts: each invalid sequence becomes
 * U+FFFD. A sequence is its maximal subpart, as in browsers, Rust and Python. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char REPLACEMENT[] = "\xEF\xBF\xBD";

/* The number of bytes of the sequence at `at`, and whether it is valid. */
static size_t sequence(const unsigned char *at, const unsigned char *end, bool *whole) {
    unsigned char lead = *at, low = 0x80, high = 0xBF;
    size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    *whole = false;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4) return 1;
    /* No overlong forms, no surrogates, nothing beyond U+10FFFF. */
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (size_t i = 1; i < len; i++) {
        if (at + i == end || at[i] < low || at[i] > high) return i;
        low = 0x80;
        high = 0xBF;
    }
    *whole = true;
    return len;
}

/* The first non-ASCII byte. Most text is ASCII, so this checks eight bytes at once. */
static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end) {
    for (uint64_t eight; end - at >= 8; at += 8) {
        memcpy(&eight, at, 8);
        if (eight & UINT64_C(0x8080808080808080)) break;
    }
    while (at < end && *at < 0x80) at++;
    return at;
}

/* The start and length of the next invalid sequence; `end` if there is none. */
static const unsigned char *find_broken(const unsigned char *at, const unsigned char *end, size_t *len) {
    for (bool whole; (at = skip_ascii(at, end)) < end; at += *len) {
        *len = sequence(at, end, &whole);
        if (!whole) return at;
    }
    return end;
}

char *st_internal_mended(const char *text) {
    const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text), *broken;
    size_t len;
    if ((broken = find_broken(at, end, &len)) == end) return NULL;
    /* In the worst case, each byte becomes three. */
    char *mended = (char *)malloc(3 * (size_t)(end - at) + 1), *to = mended;
    if (mended == NULL) abort();
    for (; broken < end; broken = find_broken(at, end, &len)) {
        memcpy(to, at, (size_t)(broken - at));
        to += broken - at;
        memcpy(to, REPLACEMENT, sizeof REPLACEMENT - 1);
        to += sizeof REPLACEMENT - 1;
        at = broken + len;
    }
    memcpy(to, at, (size_t)(end - at));
    to[end - at] = 0;
    return mended;
}

/* == Texts lent to the host for one call ================================================= */

static char **lent = NULL;
static size_t lent_count = 0;

const char *st_internal_lent(const char *text) {
    if (text == NULL) return "";
    char *mended = st_internal_mended(text);
    if (mended == NULL) return text;
    lent = (char **)realloc(lent, (lent_count + 1) * sizeof *lent);
    if (lent == NULL) abort();
    lent[lent_count++] = mended;
    return mended;
}

void st_internal_take_back(void) {
    while (lent_count > 0) free(lent[--lent_count]);
}
