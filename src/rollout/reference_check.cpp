#include "tdrm/rollout/reference_check.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/rollout/generator.hpp"
#include "tdrm/rollout/scorer.hpp"

namespace tdrm::rollout {
namespace {

using nlohmann::json;

template <class T>
std::vector<T> list(const json& entry, const char* key, bool required, const std::string& where) {
    if (!entry.is_object() || !entry.contains(key)) {
        if (required) throw DataError(cat(where, " has no ", key, ". See `tdrm check-model --help`."));
        return {};
    }
    try {
        return entry[key].get<std::vector<T>>();
    } catch (const json::exception& error) {
        throw DataError(
            cat(where, ": ", key, " isn't a list of numbers (", error.what(), "). See `tdrm check-model --help`."));
    }
}

void check_case(const ReferenceCase& c, int vocab, std::size_t index) {
    const std::string where = cat("case ", index);
    for (const auto* ids : {&c.ids, &c.greedy})
        for (const std::int32_t id : *ids)
            if (id < 0 || id >= vocab)
                throw DataError(cat(where, " has token ", id, ", the model's vocabulary has ", vocab,
                                    ". Is it another model's reference?"));
    if (c.ids.empty()) throw DataError(where + " has no input_ids. Remove it.");
    if (!c.logprobs_of_next.empty() && c.logprobs_of_next.size() + 1 != c.ids.size())
        throw DataError(cat(where, " has ", c.logprobs_of_next.size(), " logprobs_of_next for ", c.ids.size(),
                            " tokens (one less than tokens is right)."));
    if (!c.last_logprobs.empty() && c.last_logprobs.size() != static_cast<std::size_t>(vocab))
        throw DataError(cat(where, " has ", c.last_logprobs.size(), " last_logprobs, the model's vocabulary has ",
                            vocab, " tokens."));
}

/// "logits" at each position: a number, or a list with one for each label of the head.
std::vector<std::vector<double>> label_logits(const json& entry, const std::string& where) {
    if (!entry.contains("logits")) return {};
    const json& given = entry["logits"];
    std::vector<std::vector<double>> result;
    for (const json& each : given.is_array() ? given : json::array({json()})) {
        const json row = each.is_array() ? each : json::array({each});
        auto& numbers = result.emplace_back();
        for (const json& number : row) {
            if (!number.is_number())
                throw DataError(cat(where,
                                    ": logits is neither a list of numbers nor one of such lists. See `tdrm "
                                    "check-model --help`."));
            numbers.push_back(number.get<double>());
        }
    }
    return result;
}

void check_values(const ReferenceCase& c, std::size_t index) {
    const std::string where = cat("case ", index);
    for (const std::int32_t at : c.positions)
        if (at < 0 || static_cast<std::size_t>(at) >= c.ids.size())
            throw DataError(cat(where, " has position ", at, ", but ", c.ids.size(),
                                " input_ids (positions count from 0). Correct it."));
    const std::size_t places = c.positions.empty() ? 1 : c.positions.size();
    for (const std::size_t given : {c.values.size(), c.logits.size()})
        if (given != 0 && given != places)
            throw DataError(cat(where, " has ", given, " values or logits for ", places,
                                " positions (each has one; without positions the last token counts). Correct it."));
    for (const double value : c.values)
        if (!(value >= 0 && value <= 1))
            throw DataError(cat(where, " has the value ", value,
                                " (values are probabilities). Give what the head says before the sigmoid as logits."));
    if (!c.tokens.empty() && c.tokens.size() != 2)
        throw DataError(cat(where, " has ", c.tokens.size(),
                            " tokens (two of the language head are compared: right and wrong). Correct it."));
}

class Comparison {
public:
    explicit Comparison(engine::Engine& engine) : engine_(engine) {}

    void add(const ReferenceCase& c, std::size_t index) {
        check_case(c, engine_.spec().vocab, index);
        if (c.has_values()) return compare_values(c, index);
        if (engine_.spec().head != model::Head::language)
            throw ConfigError(
                "the model has a value head, no language head (there are no log-probs to compare, only values). Name a "
                "language model.");
        forest_.clear();
        forest_.add(c.ids);
        std::vector<std::int32_t> rows(c.ids.size());
        std::iota(rows.begin(), rows.end(), 0);
        const auto states = engine_.forward(forest_, rows, engine::Keep::nothing);
        if (!c.logprobs_of_next.empty()) compare(states, std::span(c.ids).subspan(1), c.logprobs_of_next, index);
        if (!c.last_logprobs.empty()) compare_last(states, c, index);
        if (!c.greedy.empty()) compare_greedy(c, index);
    }

    ReferenceReport report;

private:
    void compare(engine::Rows states, std::span<const std::int32_t> targets, const std::vector<double>& expected,
                 std::size_t index) {
        logp_.resize(targets.size());
        entropy_.resize(targets.size());
        engine_.token_logprobs(states, targets, 1.0F, logp_, entropy_);
        for (std::size_t i = 0; i < targets.size(); ++i)
            note(std::abs(static_cast<double>(logp_[i]) - expected[i]), index, report.logprobs);
    }

    void compare_last(engine::Rows states, const ReferenceCase& c, std::size_t index) {
        std::vector<float> logits(static_cast<std::size_t>(engine_.spec().vocab));
        engine_.token_logits(states, states.count - 1, logits);
        double mass = 0;
        const float top = *std::max_element(logits.begin(), logits.end());
        for (int v = 0; v < engine_.spec().vocab; ++v)
            mass += std::exp(static_cast<double>(logits[static_cast<std::size_t>(v)] - top));
        const double log_mass = static_cast<double>(top) + std::log(mass);
        for (std::size_t v = 0; v < c.last_logprobs.size(); ++v)
            note(std::abs(static_cast<double>(logits[v]) - log_mass - c.last_logprobs[v]), index, report.logprobs);
    }

    void compare_values(const ReferenceCase& c, std::size_t index) {
        check_values(c, index);
        model::ReadOut read_out{.tag = {c.ids.back()}, .tail = {}, .bins = c.bins};
        if (!c.tokens.empty()) {
            read_out.positive = c.tokens[0];
            read_out.negative = c.tokens[1];
        }
        (void)Scorer(engine_, read_out, kScoreTokens);  // refuses what the model can't answer
        const auto& head = engine_.spec().value_head;
        const std::span<const double> bins = c.bins.empty() ? head.bins : c.bins;
        forest_.clear();
        forest_.add(c.ids);
        auto rows = c.positions;
        if (rows.empty()) rows = {static_cast<std::int32_t>(c.ids.size()) - 1};
        std::vector<float> ours(rows.size());
        engine_.values(engine_.forward(forest_, rows, engine::Keep::nothing), read_out, ours);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const auto logit = static_cast<double>(ours[i]);
            if (!c.values.empty()) note(std::abs(1 / (1 + std::exp(-logit)) - c.values[i]), index, report.values);
            if (c.logits.empty()) continue;
            const auto& labels = c.logits[i];
            if (labels.size() != 1 && labels.size() != bins.size())
                throw DataError(cat("case ", index, " has ", labels.size(), " logits at a position, the model's head ",
                                    head.labels, " labels. Is it another model's reference?"));
            note(std::abs(logit - (labels.size() == 1 ? labels[0] : model::head_logit(labels, bins))), index,
                 report.values);
        }
    }

    void note(double difference, std::size_t index, std::int64_t& compared) {
        ++compared;
        report.squares += difference * difference;
        if (difference <= report.largest_difference) return;  // a NaN isn't smaller
        report.largest_difference = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
        report.worst_case = index;
    }

    void compare_greedy(const ReferenceCase& c, std::size_t index) {
        const std::vector<Request> requests{
            {.prompt = c.ids, .keys = {RandomKey{}}, .max_tokens = static_cast<int>(c.greedy.size()), .stop = {}}};
        if (!generator_) generator_.emplace(engine_, engine::SamplerOptions{.temperature = 0}, task::Tokens{}, 16);
        const auto ids = generator_->run(requests)[0][0].ids;
        report.greedy_tokens += static_cast<std::int64_t>(c.greedy.size());
        const auto [ours, theirs] = std::mismatch(ids.begin(), ids.end(), c.greedy.begin(), c.greedy.end());
        if (theirs == c.greedy.end()) return;
        report.different_tokens += c.greedy.end() - theirs;
        report.problems.push_back(cat("case ", index, ": token ", theirs - c.greedy.begin(), " of the continuation is ",
                                      ours == ids.end() ? -1 : *ours, ", the reference has ", *theirs));
    }

    engine::Engine& engine_;
    std::optional<Generator> generator_;
    model::Forest forest_;
    std::vector<float> logp_, entropy_;
};

}  // namespace

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 30;  // log-probs of whole vocabularies

std::vector<ReferenceCase> read_reference(const std::filesystem::path& path) {
    const json j = read_json(path, "it holds the reference", kMaxBytes);
    if (!j.is_array()) throw DataError(cat(path.string(), " is no JSON list of cases. See `tdrm check-model --help`."));
    std::vector<ReferenceCase> cases;
    for (const json& entry : j) {
        const std::string where = cat(path.string(), ", case ", cases.size());
        cases.push_back(
            {list<std::int32_t>(entry, "input_ids", true, where), list<double>(entry, "logprobs_of_next", false, where),
             list<double>(entry, "last_logprobs", false, where), list<std::int32_t>(entry, "greedy", false, where),
             list<std::int32_t>(entry, "positions", false, where), list<double>(entry, "values", false, where),
             label_logits(entry, where), list<std::int32_t>(entry, "tokens", false, where),
             list<double>(entry, "bins", false, where)});
    }
    return cases;
}

ReferenceReport check_reference(engine::Engine& engine, const std::vector<ReferenceCase>& cases) {
    Comparison comparison(engine);
    for (std::size_t i = 0; i < cases.size(); ++i) comparison.add(cases[i], i);
    return comparison.report;
}

}  // namespace tdrm::rollout
