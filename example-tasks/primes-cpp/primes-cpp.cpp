// Counts primes, segment by segment, in C++ with the C header.
#include <streamtask.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

constexpr int64_t SEGMENT = 1 << 16;
constexpr int64_t MOST = 1'000'000'000;

// The primes up to the square root of the limit, for sieving all segments.
std::vector<int64_t> small_primes(int64_t limit) {
    std::vector<int64_t> primes;
    for (int64_t n = 2; n * n <= limit; n++) {
        bool divided = std::any_of(primes.begin(), primes.end(), [n](int64_t p) { return n % p == 0; });
        if (!divided) primes.push_back(n);
    }
    return primes;
}

int64_t count_in(int64_t from, int64_t to, const std::vector<int64_t> &primes) {
    std::vector<char> composite(static_cast<size_t>(to - from + 1), 0);
    for (int64_t p : primes)
        for (int64_t n = std::max(p * p, (from + p - 1) / p * p); n <= to; n += p)
            composite[static_cast<size_t>(n - from)] = 1;
    return std::count(composite.begin(), composite.end(), 0);
}

}  // namespace

st_status st_task(st_json input) {
    int64_t limit = 0;
    if (!st_int(st_get(input, "limit"), &limit) || limit < 2 || limit > MOST)
        return st_fail("invalid-input", "limit has to be an integer from 2 to %lld", static_cast<long long>(MOST));
    const std::vector<int64_t> primes = small_primes(limit);
    const int64_t segments = (limit + SEGMENT - 1) / SEGMENT;
    int64_t found = 0;
    for (int64_t step = 1; step <= segments; step++) {
        if (st_cancelled()) return ST_CANCELLED;
        const int64_t from = std::max<int64_t>(2, (step - 1) * SEGMENT + 1);
        found += count_in(from, std::min(limit, step * SEGMENT), primes);
        ST_TRY(st_send_progress({.step = step, .total = segments}));
    }
    return st_resultf("{\"limit\":%lld,\"primes\":%lld}", static_cast<long long>(limit), static_cast<long long>(found));
}

const char *st_describe() {
    return R"({"description":"Counts the primes up to a limit.","input_schema":{"type":"object",
        "properties":{"limit":{"type":"integer","minimum":2,"maximum":1000000000,"examples":[1000000]}},
        "required":["limit"],"additionalProperties":false}})";
}
