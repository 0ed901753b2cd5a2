// What this process did and how long it took, for the figures at the end of a stage. Local; one book a process, kept by
// its main thread. An entry costs some ten nanoseconds: make it for a batch, not for a token.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>

namespace tdrm::ledger {

/// What seconds are spent on.
enum class Section { batch, generate, score, gradient, sum, step, eval, commit, work, merge, waiting };
[[nodiscard]] constexpr auto enum_names(Section) {
    using enum Section;
    return std::array<std::pair<Section, std::string_view>, 11>{{{batch, "batch"},
                                                                 {generate, "generate"},
                                                                 {score, "score"},
                                                                 {gradient, "gradient"},
                                                                 {sum, "sum"},
                                                                 {step, "step"},
                                                                 {eval, "eval"},
                                                                 {commit, "commit"},
                                                                 {work, "work"},
                                                                 {merge, "merge"},
                                                                 {waiting, "waiting"}}};
}

/// What is counted. trained, generated and scored are tokens: of the forests that gave gradients, drawn by a policy,
/// and of the forests that a value model read. flop are those of matrix products with parameters.
enum class Work { updates, trained, generated, scored, flop };
[[nodiscard]] constexpr auto enum_names(Work) {
    using enum Work;
    return std::array<std::pair<Work, std::string_view>, 5>{{{updates, "updates"},
                                                             {trained, "trained_tokens"},
                                                             {generated, "generated_tokens"},
                                                             {scored, "scored_tokens"},
                                                             {flop, "flop"}}};
}

inline constexpr std::size_t kSections = enum_names(Section{}).size();
inline constexpr std::size_t kWorks = enum_names(Work{}).size();

/// Seconds by section, amounts by kind of work.
struct Sheet {
    std::array<double, kSections> seconds{};
    std::array<double, kWorks> amount{};

    [[nodiscard]] double operator[](Section section) const { return seconds[static_cast<std::size_t>(section)]; }
    [[nodiscard]] double operator[](Work work) const { return amount[static_cast<std::size_t>(work)]; }
};

/// While it lives, time belongs to its section. One within another takes over meanwhile, so that every second counts
/// once and all sections together are never longer than the time that passed.
class In {
public:
    explicit In(Section section);
    ~In();
    In(const In&) = delete;
    In& operator=(const In&) = delete;

private:
    Section section_;
    In* outer_;
    std::chrono::steady_clock::time_point since_;  ///< it was entered, or the inner one left
};

void count(Work work, double amount) noexcept;

/// What was entered since the last call; a section that is still open counts when it ends.
[[nodiscard]] Sheet close();

}  // namespace tdrm::ledger
