#include <algorithm>
#include <cstdio>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/stage/task_options.hpp"

namespace tdrm::app {

int explain_key(const std::string& key) {
    const auto dot = key.find('.');
    std::string head = key.substr(0, dot);
    std::string rest = dot == std::string::npos ? "" : key.substr(dot + 1);
    if (head == "stages") {  // stages.NAME.key says no more than KIND.key
        throw ConfigError("say the kind of the stage instead of its name, e.g. tdrm explain rl.advantage.lambda.");
    }
    if (head.empty()) {
        std::printf(
            "A run file has three parts. tdrm explain PART[.KEY] tells more.\n\n  run         folder, seed, sums\n  "
            "task        countdown, chain or text (tdrm explain text)\n"
            "  stages      a map of names to stages; `do:` is one of\n\n");
        for (const auto& [name, kind] : stage::stage_kinds())
            std::printf("  %-11s %s\n", name.c_str(), kind.summary.c_str());
        std::printf(
            "\nAll stages also have: like (copy another stage's options), each (one stage per combination), seed.\n");
        return 0;
    }
    if (head == "run") {
        std::printf("%s\n", explain(stage::RunOptions{}, rest).c_str());
    } else if (head == "task" || head == "countdown" || head == "chain" || head == "text") {
        std::printf("%s\n", stage::explain_task(head, rest).c_str());
    } else if (const auto kind = stage::stage_kinds().find(head); kind != stage::stage_kinds().end()) {
        if (rest.empty()) std::printf("%s: %s\n\n", head.c_str(), kind->second.summary.c_str());
        std::printf("%s\n", kind->second.explain(rest).c_str());
    } else {
        std::vector<std::string> names{"run", "task", "countdown", "chain", "text"};
        for (const auto& [name, unused] : stage::stage_kinds()) names.push_back(name);
        throw ConfigError(cat("there is nothing to explain under \"", head, "\". ", did_you_mean(head, names)));
    }
    return 0;
}

}  // namespace tdrm::app
