#include "processors.hpp"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstddef>

namespace tdrm::engine {

std::vector<int> listed_processors(std::string_view list) {
    std::vector<int> processors;
    while (!list.empty()) {
        const std::string_view piece = list.substr(0, list.find(','));
        list.remove_prefix(std::min(list.size(), piece.size() + 1));
        int first = 0, last = 0;
        const char* end = piece.data() + piece.size();
        const auto begin = std::from_chars(piece.data(), end, first);
        if (begin.ec != std::errc{}) continue;
        last = first;
        if (begin.ptr != end && *begin.ptr == '-') std::from_chars(begin.ptr + 1, end, last);
        for (int p = first; p <= last && p < CPU_SETSIZE; ++p) processors.push_back(p);
    }
    return processors;
}

void run_on(std::string_view list) {
    cpu_set_t allowed, near;
    CPU_ZERO(&near);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    for (const int p : listed_processors(list)) {
        const auto bit = static_cast<std::size_t>(p);
        if (CPU_ISSET(bit, &allowed)) CPU_SET(bit, &near);
    }
    if (CPU_COUNT(&near) > 0) sched_setaffinity(0, sizeof near, &near);
}

}  // namespace tdrm::engine
