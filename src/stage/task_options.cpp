// `task:` of a run file.
#include "tdrm/stage/task_options.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/task/chain.hpp"
#include "tdrm/task/countdown.hpp"
#include "tdrm/task/walk.hpp"
#include "text_task_options.hpp"

namespace tdrm::stage {
namespace {

struct CountdownFields : task::CountdownOptions {
    std::string kind = "countdown";
    void fields(Fields& f) {
        f("kind", kind, "countdown");
        f("numbers", numbers, "numbers of a problem", between(3, 5));
        f("max_number", max_number, "largest number", between(2, 100));
        f("max_target", max_target, "largest target", between(1, 1e9));
        f("max_result", max_result, "largest result of a step", at_most(1000));
        f("noise", noise, "probability that a step of a demonstration is random legal play", between(0, 1));
        f("splits", splits, "split names with their numbers of problems, disjoint", between(0, 1e9)).required();
        f("repeating", repeating, "splits that may hold a problem twice, in another order");
    }
};

struct ChainFields : task::ChainOptions {
    std::string kind = "chain";
    void fields(Fields& f) {
        f("kind", kind, "chain");
        f("min_steps", min_steps, "fewest operations of a problem", between(1, 1e9));
        f("max_steps", max_steps, "most operations of a problem", between(1, 16));
        f("modulus", modulus, "numbers are 0 to modulus - 1", between(2, 100));
        f("noise", noise, "probability that a step of a demonstration is wrong", between(0, 1));
        f("splits", splits, "split names with their numbers of problems, disjoint", between(0, 1e9)).required();
        f("repeating", repeating, "splits that may hold a problem twice");
    }
};

struct WalkFields : task::WalkOptions {
    std::string kind = "walk";
    void fields(Fields& f) {
        f("kind", kind, "walk");
        f("modulus", modulus, "numbers are 0 to modulus - 1", between(4, 100));
        f("steps", steps, "steps of every answer", between(1, 30));
        f("to_zero", to_zero,
          "the target is always 0, which spares small models the comparison of the last number with it");
        f("noise", noise, "chance that a step of a demonstration is any offset, not one that can still hit the target",
          between(0, 1));
        f("splits", splits, "split names with their numbers of problems, disjoint", between(0, 1e9)).required();
        f("repeating", repeating, "splits that may hold a problem twice");
    }
};

template <class Fields, class Make>
std::unique_ptr<task::Task> bind(const Yaml& options, std::uint64_t seed, Problems& problems, Make make) {
    Fields fields;
    const auto before = problems.size();
    parse(options, fields, problems, "task");
    if (problems.size() != before) return nullptr;
    try {
        return make(fields, seed);
    } catch (const ConfigError& error) {
        problems.push_back({"", "task", error.what()});
        return nullptr;
    }
}

std::string kind_of(const Yaml& task) {
    const Yaml* kind = task.find("kind");
    return kind != nullptr ? kind->scalar : "";
}

}  // namespace

std::unique_ptr<task::Task> plan_task(const Yaml& options, std::uint64_t seed, Problems& problems) {
    if (kind_of(options) != "text") return make_task(options, seed, problems);
    return bind<TextTaskFields>(options, seed, problems, [&](const TextTaskFields& fields, std::uint64_t) {
        const auto absent = absent_files(fields);
        problems.insert(problems.end(), absent.begin(), absent.end());
        return absent.empty() ? make_text_task(fields, seed) : planned_text_task(fields);
    });
}

std::unique_ptr<task::Task> make_task(const Yaml& options, std::uint64_t seed, Problems& problems) {
    const Yaml* kind = options.find("kind");
    const std::string word = kind_of(options);
    if (word == "countdown") return bind<CountdownFields>(options, seed, problems, task::make_countdown);
    if (word == "chain") return bind<ChainFields>(options, seed, problems, task::make_chain);
    if (word == "walk") return bind<WalkFields>(options, seed, problems, task::make_walk);
    if (word == "text") return bind<TextTaskFields>(options, seed, problems, make_text_task);
    problems.push_back(
        {kind != nullptr ? kind->where() : options.where(), "task.kind",
         cat("\"", word, "\" is no task (it decides problems and verdicts). Choose countdown, chain, walk or text.")});
    return nullptr;
}

std::string explain_task(const std::string& kind, const std::string& key) {
    if (kind == "countdown") return explain(CountdownFields{}, key);
    if (kind == "chain") return explain(ChainFields{}, key);
    if (kind == "walk") return explain(WalkFields{}, key);
    ensure(kind == "text", "a kind of task");
    return explain(TextTaskFields{}, key);
}

std::vector<std::string> task_keys(const std::string& kind) {
    if (kind == "countdown") return option_keys(CountdownFields{});
    if (kind == "chain") return option_keys(ChainFields{});
    if (kind == "walk") return option_keys(WalkFields{});
    ensure(kind == "text", "a kind of task");
    return option_keys(TextTaskFields{});
}

std::vector<std::string> task_kinds() { return {"countdown", "chain", "walk", "text"}; }

}  // namespace tdrm::stage
