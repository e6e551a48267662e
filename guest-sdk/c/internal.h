/* Functions that the files of the SDK share. Not for tasks. */
#ifndef STREAMTASK_INTERNAL_H
#define STREAMTASK_INTERNAL_H

#include <stdlib.h>

#include "streamtask.h"

/* Sets the last error, and returns its status. Takes ownership of the message. */
st_status st_internal_refuse(st_status status, char *message);

/* Formats a text, evaluates `use` with it, and returns its status. */
#define WITH_FORMATTED(text, format, use)                   \
    do {                                                    \
        va_list arguments_;                                 \
        va_start(arguments_, format);                       \
        char *text = st_vformat(format, arguments_);        \
        va_end(arguments_);                                 \
        if (text == NULL) return st_internal_bad_format(); \
        st_status status_ = use;                            \
        free(text);                                         \
        return status_;                                     \
    } while (0)

st_status st_internal_bad_format(void);

/* A copy of the text with U+FFFD for each invalid sequence; NULL if there is none. */
char *st_internal_mended(const char *text);
/* The text as valid UTF-8, until st_internal_take_back; "" for NULL. */
const char *st_internal_lent(const char *text);
void st_internal_take_back(void);

#endif
