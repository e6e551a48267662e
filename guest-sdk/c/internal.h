/* What the parts of the SDK share. Not for tasks. */
#ifndef STREAMTASK_INTERNAL_H
#define STREAMTASK_INTERNAL_H

#include "streamtask.h"

/* Makes a refusal the last error, and returns its status. Takes the message. */
st_status st_internal_refuse(st_status status, char *message);

#endif
