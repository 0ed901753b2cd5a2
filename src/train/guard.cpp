#include "tdrm/train/guard.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/eval/moments.hpp"

namespace tdrm::train {
namespace {

constexpr double kRewardDeviations = 2;

double mean(const std::vector<double>& numbers) { return eval::moments(numbers).mean; }

/// Of a - b, pair by pair.
eval::Moments differences(const std::vector<double>& a, const std::vector<double>& b) {
    ensure(a.size() == b.size() && !a.empty(), "looks at the same problems");
    std::vector<double> pairs(a.size());
    std::transform(a.begin(), a.end(), b.begin(), pairs.begin(), std::minus<>());
    return eval::moments(pairs);
}

}  // namespace

std::string Alarm::text() const {
    char text[256];
    std::snprintf(text, sizeof text,
                  "since update %lld the reward rose from %.4g to %.4g, but of the held-out answers %.1f %% are right "
                  "instead of %.1f %% (standard error %.1f)",
                  static_cast<long long>(good), reward_then, reward_now, 100 * right_now, 100 * right_then,
                  100 * right_error);
    return text;
}

std::optional<Alarm> Guard::look(Look now) {
    std::optional<Alarm> found;
    if (best_) {
        const auto fall = differences(best_->right_P, now.right_P);
        const double rise = now.reward - best_->reward;
        const double rise_error = std::hypot(now.reward_error, best_->reward_error);
        if (fall.mean > deviations_ * fall.error() && fall.mean > 0 && rise > kRewardDeviations * rise_error)
            found =
                Alarm{best_->update, mean(best_->right_P), mean(now.right_P), fall.error(), best_->reward, now.reward};
    }
    if (!best_ || mean(now.right_P) > mean(best_->right_P)) best_ = std::move(now);
    if (found) alarm_ = found;
    return found;
}

nlohmann::json Guard::state() const {
    nlohmann::json state = nlohmann::json::object();
    if (best_)
        state["best"] = {{"update", best_->update},
                         {"reward", best_->reward},
                         {"reward_error", best_->reward_error},
                         {"right", best_->right_P}};
    if (alarm_)
        state["alarm"] = {{"good", alarm_->good},
                          {"right", {alarm_->right_then, alarm_->right_now, alarm_->right_error}},
                          {"reward", {alarm_->reward_then, alarm_->reward_now}}};
    return state;
}

void Guard::restore(const nlohmann::json& state) {
    best_.reset();
    alarm_.reset();
    if (const auto best = state.find("best"); best != state.end())
        best_ = Look{best->at("update"), best->at("reward"), best->at("reward_error"), best->at("right")};
    if (const auto alarm = state.find("alarm"); alarm != state.end())
        alarm_ = Alarm{alarm->at("good"),        alarm->at("right").at(0),  alarm->at("right").at(1),
                       alarm->at("right").at(2), alarm->at("reward").at(0), alarm->at("reward").at(1)};
}

}  // namespace tdrm::train
