#include <stdlib.h>

#include "streamtask.h"

const char *st_describe(void) {
    return "{\"description\":\"Greets everyone.\",\"input_schema\":{\"type\":\"object\",\"properties\":"
           "{\"names\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},\"additionalProperties\":false}}";
}

st_status st_task(st_json input) {
    st_json names = st_get(input, "names"), item = {0};
    int total = 0, greeted = 0;
    while ((item = st_next(names, item)).at) total++;
    while ((item = st_next(names, item)).at) {
        char *name = st_string(item, NULL);
        char *hello = st_format("Hello, %s!", name);
        ST_TRY(st_sendf("greeting", "%q", hello));
        ST_TRY(st_progress(.step = ++greeted, .total = total, .message = name));
        ST_TRY(st_sleep(200));
        free(hello);
        free(name);
    }
    return st_resultf("{\"greeted\":%d}", greeted);
}
