#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "streamtask.h"

namespace {

struct Free {
    void operator()(char *text) const { std::free(text); }
};

// What the SDK allocates, such as the text of a string.
using Text = std::unique_ptr<char, Free>;

// The strings of an array; what else is in it is left out.
std::vector<std::string> strings(st_json array) {
    std::vector<std::string> all;
    for (st_json item{}; (item = st_next(array, item)).at != nullptr;) {
        std::size_t length = 0;
        if (Text text{st_string(item, &length)}) all.emplace_back(text.get(), length);
    }
    return all;
}

st_status greet(const std::vector<std::string> &names) {
    std::int64_t greeted = 0;
    for (const std::string &name : names) {
        const std::string hello = "Hello, " + name + "!";
        ST_TRY(st_sendf("greeting", "%q", hello.c_str()));
        ST_TRY(st_send_progress({
            .step = ++greeted,
            .total = static_cast<std::int64_t>(names.size()),
            .message = name.c_str(),
        }));
        ST_TRY(st_sleep(200));
    }
    return st_resultf("{\"greeted\":%lld}", static_cast<long long>(greeted));
}

}  // namespace

const char *st_describe() {
    return R"({"description":"Greets everyone.","input_schema":{"type":"object","properties":
        {"names":{"type":"array","items":{"type":"string"}}},"additionalProperties":false}})";
}

st_status st_task(st_json input) {
    return greet(strings(st_get(input, "names")));
}
