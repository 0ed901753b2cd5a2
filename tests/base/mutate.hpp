// Inputs for fuzzing: texts and JSON values that come from good ones by small changes, always the same ones.
#pragma once

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tdrm/base/random.hpp"

namespace tdrm {

/// Rounds of a fuzzing test: few in ordinary tests, TDRM_FUZZ_ROUNDS in the long ones (tests/sanitized.sh).
inline std::uint64_t fuzz_rounds(std::uint64_t few) {
    const char* wanted = std::getenv("TDRM_FUZZ_ROUNDS");
    return wanted ? std::strtoull(wanted, nullptr, 10) : few;
}

/// Up to four bytes replaced, erased, added, or a piece of the text doubled; marks of JSON and YAML come often.
inline std::string mutated(std::string text, Random& random) {
    constexpr std::string_view kMarks = "0123456789[]{},:\"-&*!|>#%@'\n .eE+\\";
    const auto edits = 1 + random.next_below(4);
    for (std::uint64_t e = 0; e < edits && !text.empty(); ++e) {
        const auto at = random.next_below(text.size());
        switch (random.next_below(5)) {
            case 0:
                text[at] = static_cast<char>(random.next_below(256));
                break;
            case 1:
                text[at] = kMarks[random.next_below(kMarks.size())];
                break;
            case 2:
                text.erase(at, 1 + random.next_below(8));
                break;
            case 3:
                text.insert(at, 1 + random.next_below(3), kMarks[random.next_below(kMarks.size())]);
                break;
            default:
                text.insert(at, text.substr(random.next_below(text.size()), random.next_below(60)));
                break;
        }
    }
    return text;
}

/// One value somewhere inside replaced by one of another type or size, or taken out.
inline nlohmann::json mutated(nlohmann::json value, Random& random) {
    using nlohmann::json;
    static const std::array<json, 16> kOthers{json(),
                                              json(true),
                                              json(0),
                                              json(-1),
                                              json(2147483647),
                                              json(9223372036854775807),
                                              json(18446744073709551615U),
                                              json(1e300),
                                              json(-0.5),
                                              json(""),
                                              json("x"),
                                              json("\xC3\xA4/../.."),
                                              json::array(),
                                              json::object(),
                                              json::array({1, "a", nullptr}),
                                              json{{"type", "x"}}};
    json* node = &value;
    while (node->is_structured() && !node->empty() && random.next_below(8) != 0) {
        auto child = node->begin();
        std::advance(child, random.next_below(node->size()));
        if (random.next_below(12) == 0) {
            node->erase(child);
            return value;
        }
        node = &*child;
    }
    *node = kOthers[random.next_below(kOthers.size())];
    return value;
}

}  // namespace tdrm
