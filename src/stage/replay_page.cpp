#include "replay_page.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::stage {
namespace {

constexpr double kDigits = 1e-8;  ///< metrics.jsonl has nine digits

template <class... T>
std::string format(const char* pattern, T... values) {
    char line[512];
    std::snprintf(line, sizeof line, pattern, values...);
    return line;
}

nlohmann::json logged_line(const std::filesystem::path& path, std::int64_t update) {
    nlohmann::json found;
    rows::for_each_line(path, [&](std::string_view line, bool) {
        auto parsed = parse_json_or_discard(line);
        if (parsed.is_object() && parsed.value("update", std::int64_t{-1}) == update) found = std::move(parsed);
    });
    if (found.is_null())
        throw DataError(
            cat(path.string(), " has no update ", update, " (there is nothing to compare with). Was it made yet?"));
    return found;
}

/// "0.125 as logged", or both numbers.
std::string compared(const char* name, double now, const nlohmann::json& logged) {
    if (!logged.contains(name) || !logged[name].is_number()) return format("  %-10s %.9g (not logged)\n", name, now);
    const double then = logged[name];
    const bool same = std::abs(now - then) <= kDigits * std::abs(then);
    return same ? format("  %-10s %.9g, as logged\n", name, now)
                : format("  %-10s %.9g, BUT LOGGED AS %.9g\n", name, now, then);
}

std::string stored(const char* what, double changed) {
    return changed == 0 ? cat("  ", what, " are those that were stored, bit for bit\n")
                        : format("  %s DIFFER from the stored ones by up to %.3g\n", what, changed);
}

/// A word of a reason why a token has no pull, or nothing.
const char* note_of(const train::TokenAccount& token) {
    if (token.weight == 0) return "  doesn't train";
    if (token.result.clipped_low) return "  clipped low";
    if (token.result.clipped_high) return "  clipped high";
    return "";
}

/// Text of a token in one piece, as long as it is short.
std::string shown(std::string text) {
    for (char& c : text)
        if (c == '\n' || c == '\t' || c == '\r') c = ' ';
    return text.size() > 14 ? text.substr(0, 11) + "..." : text;
}

std::string reward_lines(const train::RlBatch& batch, std::size_t row) {
    std::string text = format("  reward %.6g", batch.reward[row]);
    const char* sign = " = ";
    for (const train::PartScores& part : batch.parts) {
        text += format("%s%.6g %s", sign, part.answer[row], part.name.c_str());
        sign = " + ";
    }
    return text + "\n";
}

/// What the parts of steps give at each action of an answer.
std::string action_lines(const train::RlBatch& batch, std::size_t row) {
    std::string text;
    const auto states = rollout::state_offsets(batch.answers);
    for (const train::PartScores& part : batch.parts) {
        if (part.grain != train::Grain::action) continue;
        text += "  " + part.name + " by step:";
        for (std::size_t s = states[row]; s + 1 < states[row + 1]; ++s) text += format(" %.4g", part.reward[s]);
        text += "\n";
    }
    if (batch.values.empty()) return text;
    text += "  values of states:";
    for (std::size_t s = states[row]; s < states[row + 1]; ++s)
        text += format(" %.4f", 1 / (1 + std::exp(-static_cast<double>(batch.values[s]))));
    return text + "\n";
}

}  // namespace

std::string ReplayPage::text(const task::Task& task, train::RlObjective& objective, std::size_t row) const {
    const train::RlBatch& batch = objective.batch();
    const auto line = logged_line(logged, update + 1);
    std::string page = title + "\n";
    const std::string adapters = cat(train::kAdapters, "/grad_norm");
    const bool adapted = line.contains(adapters);
    for (const std::string& name :
         {std::string("loss"), adapted ? adapters : "grad_norm", std::string("reward"), std::string("entropy")})
        page += compared(name.c_str(), metrics.get(name), line);
    page += stored("rewards", changed_rewards) + stored("advantages", changed_advantages);

    const auto& answers = batch.answers;
    const auto problem = static_cast<std::size_t>(answers.problem[row]);
    page += format("\nanswer %zu: problem %lld, sample %d, %s\n", row,
                   static_cast<long long>(answers.problem_index[problem]), answers.sample[row],
                   answers.outcome[row] > 0 ? "right" : "wrong");
    page += reward_lines(batch, row) + action_lines(batch, row);
    page += "\n  token  text            log-prob        old      ratio  advantage     weight       loss      slope\n";
    const auto ids = answers.ids(row);
    const auto ends = answers.step_ends(row);
    double loss = 0;
    const auto account = objective.account(row);
    for (std::size_t t = 0; t < account.size(); ++t) {
        const auto& token = account[t];
        loss += token.result.loss * token.weight;
        page += format("  %5zu  %-14s %9.5f  %9.5f  %9.6f  %9.5f  %9.3g  %9.3g  %9.3g%s\n", t,
                       shown(task.token_text(ids[t])).c_str(), static_cast<double>(token.now),
                       static_cast<double>(token.old), token.result.ratio, token.advantage, token.weight,
                       token.result.loss * token.weight, token.result.dloss_dlogp * token.weight, note_of(token));
        if (std::find(ends.begin(), ends.end(), static_cast<std::int32_t>(t) + 1) != ends.end())
            page += "         -- end of step --\n";
    }
    return page + format("  its share of the loss: %.6g\n", loss);
}

}  // namespace tdrm::stage
