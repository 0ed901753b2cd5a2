// An alarm before a policy games its reward: the reward rises while answers to held-out problems get worse.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tdrm::train {

/// What is known when the truth is looked at.
struct Look {
    std::int64_t update = 0;
    double reward = 0;              ///< mean over the answers trained on since the look before
    double reward_error = 0;        ///< standard error of that mean
    std::vector<double> right_P{};  ///< share of right answers to each held-out problem
};

struct Alarm {
    std::int64_t good = 0;                                  ///< update of the look with the most right answers
    double right_then = 0, right_now = 0, right_error = 0;  ///< standard error of their paired difference
    double reward_then = 0, reward_now = 0;
    /// Sentence for people, without an end.
    [[nodiscard]] std::string text() const;
};

/// Compares each look with the best one before it. An alarm: answers got worse by more than `deviations` standard
/// errors of the paired difference over problems, while the reward rose by more than two of its own. Both must be:
/// either alone happens in honest runs. In simulated runs of 40 looks with deviations 2.5 at most 1 of 20 honest ones
/// alarms, and with 1000 problems x 4 answers a slow fall is seen when a tenth of the gain is lost.
class Guard {
public:
    explicit Guard(double deviations) : deviations_(deviations) {}

    [[nodiscard]] std::optional<Alarm> look(Look now);
    /// The last alarm that there was.
    [[nodiscard]] const std::optional<Alarm>& alarm() const { return alarm_; }

    [[nodiscard]] nlohmann::json state() const;
    void restore(const nlohmann::json& state);

private:
    double deviations_;
    std::optional<Look> best_;
    std::optional<Alarm> alarm_;
};

}  // namespace tdrm::train
