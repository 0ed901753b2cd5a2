#include "tdrm/task/walk.hpp"

#include <algorithm>
#include <array>

#include "tdrm/base/errors.hpp"
#include "word_task.hpp"

namespace tdrm::task {
namespace {

constexpr std::size_t kOffsets = 3;
constexpr std::size_t kStepTokens = 4;  ///< offset = number ;
constexpr int kMaxWalkSteps = 30;       ///< the splitter tells 32 steps apart

struct Puzzle {
    int start = 0;
    int target = 0;
    std::array<int, kOffsets> offsets{};  ///< different ones
};

/// P(target after exactly k more steps) from every number: row k, column number. A step is, with probability `noise`,
/// any of the offsets, otherwise any of those that can still hit the target, if there is one.
class HitTable {
public:
    HitTable(const Puzzle& puzzle, int modulus, int steps, double noise)
        : modulus_(static_cast<std::size_t>(modulus)), chance_((static_cast<std::size_t>(steps) + 1) * modulus_) {
        chance_[static_cast<std::size_t>(puzzle.target)] = 1;
        for (std::size_t i = modulus_; i < chance_.size(); ++i) {
            double sum = 0;
            int hitting = 0;
            for (const int offset : puzzle.offsets) {
                const double chance = at(i / modulus_ - 1, (i + static_cast<std::size_t>(offset)) % modulus_);
                sum += chance;
                hitting += chance > 0 ? 1 : 0;
            }
            if (hitting > 0) chance_[i] = noise * sum / kOffsets + (1 - noise) * sum / hitting;
        }
    }
    [[nodiscard]] double operator()(int steps_left, int number) const {
        return at(static_cast<std::size_t>(steps_left), static_cast<std::size_t>(number));
    }

private:
    [[nodiscard]] double at(std::size_t steps_left, std::size_t number) const {
        return chance_[steps_left * modulus_ + number];
    }

    std::size_t modulus_;
    std::vector<double> chance_;
};

/// Three different offsets, a start, and a target that can be hit.
Puzzle draw_puzzle(const WalkOptions& options, Random& random) {
    const auto below = [&](int n) { return static_cast<int>(random.next_below(static_cast<std::uint64_t>(n))); };
    Puzzle puzzle;
    for (std::size_t i = 0; i < kOffsets;) {
        puzzle.offsets[i] = 1 + below(options.modulus - 1);
        const auto before = puzzle.offsets.begin() + static_cast<std::ptrdiff_t>(i);
        if (std::find(puzzle.offsets.begin(), before, puzzle.offsets[i]) == before) ++i;
    }
    puzzle.start = below(options.modulus);
    do {
        (options.to_zero ? puzzle.start : puzzle.target) = below(options.modulus);
    } while (HitTable(puzzle, options.modulus, options.steps, 1)(options.steps, puzzle.start) == 0);
    return puzzle;
}

/// Start, target and sorted offsets, seven bits each.
std::uint64_t canonical(Puzzle puzzle) {
    std::sort(puzzle.offsets.begin(), puzzle.offsets.end());
    auto key = static_cast<std::uint64_t>(puzzle.start) << 7 | static_cast<std::uint64_t>(puzzle.target);
    for (const int offset : puzzle.offsets) key = key << 7 | static_cast<std::uint64_t>(offset);
    return key;
}

std::string describe_options(const WalkOptions& o, std::uint64_t seed) {
    return cat("modulus ", o.modulus, " steps ", o.steps, " to_zero ", o.to_zero, " noise ", o.noise, " seed ", seed,
               ' ', describe_splits(o.splits, o.repeating));
}

class Walk final : public WordTask {
public:
    Walk(const WalkOptions& options, std::uint64_t seed)
        : WordTask("walk", "A", false, 0, options.modulus - 1, describe_options(options, seed),
                   Splits(options.splits, options.repeating, seed,
                          [options](Random& random) { return canonical(draw_puzzle(options, random)); })),
          options_(options) {}

    [[nodiscard]] int max_prompt_tokens() const override { return static_cast<int>(kOffsets) + 5; }
    [[nodiscard]] int max_answer_tokens() const override { return static_cast<int>(kStepTokens) * options_.steps + 1; }
    [[nodiscard]] Tokens scripted_rest(const Problem& problem, TokenSpan begun, std::uint64_t seed,
                                       std::uint64_t visit) const override;
    [[nodiscard]] Verdict verdict(const Problem& problem, TokenSpan answer) const override;
    [[nodiscard]] std::int64_t penultimate(TokenSpan answer, std::span<const std::int32_t> step_ends) const override;
    [[nodiscard]] TruthKind truth_kind() const override { return TruthKind::reachable; }
    [[nodiscard]] std::vector<float> truth(const Problem& problem, TokenSpan answer,
                                           std::span<const std::int32_t> step_ends) const override;
    [[nodiscard]] std::vector<std::uint8_t> step_right(const Problem& problem, TokenSpan answer,
                                                       std::span<const std::int32_t> step_ends) const override;
    [[nodiscard]] std::string scripted_policy() const override;
    [[nodiscard]] std::vector<float> scripted_value(const Problem& problem, TokenSpan answer,
                                                    std::span<const std::int32_t> step_ends) const override;

protected:
    [[nodiscard]] Problem draw(Random& random) const override;
    [[nodiscard]] bool end_closes_step() const override { return false; }

private:
    [[nodiscard]] Puzzle puzzle(const Problem& problem) const;
    [[nodiscard]] HitTable hits(const Puzzle& puzzle) const {
        return {puzzle, options_.modulus, options_.steps, options_.noise};
    }
    [[nodiscard]] Reason judge(const Puzzle& puzzle, TokenSpan answer) const;
    /// Takes a step: moves `number`, or says why it is illegal.
    [[nodiscard]] Reason step(const Puzzle& puzzle, TokenSpan tokens, int& number) const;

    WalkOptions options_;
};

Problem Walk::draw(Random& random) const {
    const Puzzle puzzle = draw_puzzle(options_, random);
    Problem problem;
    problem.prompt = {number_token(puzzle.start), kPlus};
    for (const int offset : puzzle.offsets) problem.prompt.push_back(number_token(offset));
    problem.prompt.insert(problem.prompt.end(), {kAsk, number_token(puzzle.target), kAnswer});
    problem.answer = std::to_string(puzzle.target);
    return problem;
}

Puzzle Walk::puzzle(const Problem& problem) const {
    const Tokens& p = problem.prompt;
    const bool whole = p.size() == kOffsets + 5 && p[1] == kPlus && p[5] == kAsk && p[7] == kAnswer &&
                       is_number(p[0]) && is_number(p[2]) && is_number(p[3]) && is_number(p[4]) && is_number(p[6]);
    if (!whole)
        throw DataError(cat("problem ", problem.id,
                            " isn't a walk (the prompt doesn't follow the grammar). Use the task it was made with."));
    return {number(p[0]), number(p[6]), {number(p[2]), number(p[3]), number(p[4])}};
}

Tokens Walk::scripted_rest(const Problem& problem, TokenSpan begun, std::uint64_t seed, std::uint64_t visit) const {
    Random random(random_key(seed, "demonstration", problem.id, visit));
    const Puzzle puzzle = this->puzzle(problem);
    const HitTable hits = this->hits(puzzle);
    Tokens answer;
    answer.reserve(static_cast<std::size_t>(max_answer_tokens()));
    int number = puzzle.start;
    int steps = 0;
    for (; !begun.empty(); begun = begun.subspan(kStepTokens), ++steps)
        if (step(puzzle, begun.first(std::min(begun.size(), kStepTokens)), number) != Reason::correct)
            cannot_go_on(problem, "a step isn't legal");
    if (steps > options_.steps) cannot_go_on(problem, "it has too many steps");
    for (; steps < options_.steps; ++steps) {
        // Any offset, or one of those that can still hit the target.
        auto choice = puzzle.offsets;
        auto end = choice.end();
        if (options_.noise < 1 && random.next_uniform() >= options_.noise) {
            const auto hopeless = [&](int o) {
                return hits(options_.steps - steps - 1, (number + o) % options_.modulus) == 0;
            };
            end = std::remove_if(choice.begin(), choice.end(), hopeless);
            if (end == choice.begin()) choice = puzzle.offsets, end = choice.end();
        }
        const int offset = choice[random.next_below(static_cast<std::uint64_t>(end - choice.begin()))];
        number = (number + offset) % options_.modulus;
        answer.insert(answer.end(), {number_token(offset), kEquals, number_token(number), kDelimiter});
    }
    answer.push_back(kEnd);
    return answer;
}

std::string Walk::scripted_policy() const {
    if (options_.noise == 1) return "uniform offsets";
    const std::string best = "offsets that can still hit the target";
    return options_.noise == 0 ? best : cat(best, ", ", options_.noise, " of the steps uniform offsets");
}

Reason Walk::step(const Puzzle& puzzle, TokenSpan tokens, int& number) const {
    if (tokens.size() != kStepTokens || !is_number(tokens[0]) || tokens[1] != kEquals || !is_number(tokens[2]) ||
        tokens[3] != kDelimiter)
        return Reason::malformed_step;
    const int offset = this->number(tokens[0]);
    if (std::find(puzzle.offsets.begin(), puzzle.offsets.end(), offset) == puzzle.offsets.end())
        return Reason::number_unavailable;
    const int next = (number + offset) % options_.modulus;
    if (this->number(tokens[2]) != next) return Reason::wrong_arithmetic;
    number = next;
    return Reason::correct;
}

Reason Walk::judge(const Puzzle& puzzle, TokenSpan answer) const {
    int number = puzzle.start;
    int steps = 0;
    for (; !answer.empty() && answer[0] != kEnd; ++steps) {
        if (steps == options_.steps) return Reason::trailing_tokens;
        const TokenSpan tokens = answer.first(std::min(answer.size(), kStepTokens));
        if (tokens.size() < kStepTokens && std::find(tokens.begin(), tokens.end(), kEnd) == tokens.end())
            return Reason::truncated;
        if (const Reason reason = step(puzzle, tokens, number); reason != Reason::correct) return reason;
        answer = answer.subspan(kStepTokens);
    }
    if (answer.empty()) return Reason::truncated;
    if (answer.size() > 1) return Reason::trailing_tokens;
    if (steps < options_.steps) return Reason::no_answer;
    return number == puzzle.target ? Reason::correct : Reason::wrong_answer;
}

Verdict Walk::verdict(const Problem& problem, TokenSpan answer) const {
    const Reason reason = judge(puzzle(problem), answer);
    // As in countdown: the number at the end is the target, which the prompt gives away, so votes are on whole walks.
    const auto is_word = [this](Token token) { return token >= 0 && token < vocab_size(); };
    const bool ended = answer.size() > 1 && answer.back() == kEnd && std::all_of(answer.begin(), answer.end(), is_word);
    return {reason == Reason::correct, ended ? text(answer.first(answer.size() - 1)) : "", reason};
}

std::int64_t Walk::penultimate(TokenSpan, std::span<const std::int32_t> step_ends) const {
    const std::int64_t before_last_step = std::max(options_.steps - 1, 1);
    return std::min<std::int64_t>(before_last_step, std::ssize(step_ends));
}

std::vector<std::uint8_t> Walk::step_right(const Problem& problem, TokenSpan answer,
                                           std::span<const std::int32_t> step_ends) const {
    const Puzzle puzzle = this->puzzle(problem);
    std::vector<std::uint8_t> right(step_ends.size(), 0);
    int number = puzzle.start;
    for (std::size_t t = 0; t < step_ends.size() && t < static_cast<std::size_t>(options_.steps); ++t) {
        if (step(puzzle, step_tokens(answer, step_ends, t), number) != Reason::correct) break;
        right[t] = 1;
    }
    return right;
}

std::vector<float> Walk::scripted_value(const Problem& problem, TokenSpan answer,
                                        std::span<const std::int32_t> step_ends) const {
    const Puzzle puzzle = this->puzzle(problem);
    const HitTable hits = this->hits(puzzle);
    std::vector<float> value(step_ends.size() + 1, 0.0F);
    int number = puzzle.start;
    value[0] = static_cast<float>(hits(options_.steps, number));
    for (std::size_t t = 0; t < step_ends.size() && t < static_cast<std::size_t>(options_.steps); ++t) {
        if (step(puzzle, step_tokens(answer, step_ends, t), number) != Reason::correct) break;
        value[t + 1] = static_cast<float>(hits(options_.steps - static_cast<int>(t) - 1, number));
    }
    return value;
}

std::vector<float> Walk::truth(const Problem& problem, TokenSpan answer,
                               std::span<const std::int32_t> step_ends) const {
    // What the scripted policy hits with any chance at all is what can be hit.
    std::vector<float> truth = scripted_value(problem, answer, step_ends);
    for (float& value : truth) value = value > 0 ? 1.0F : 0.0F;
    return truth;
}

}  // namespace

std::vector<std::string> WalkOptions::validate() const {
    std::vector<std::string> problems = validate_splits(splits);
    const auto check = [&](std::string_view option, auto value, auto low, auto high) {
        if (!(value >= low && value <= high))
            problems.push_back(cat(option, " is ", value, "; it must be in [", low, ", ", high, "]."));
    };
    check("modulus", modulus, 4, 100);
    check("steps", steps, 1, kMaxWalkSteps);
    check("noise", noise, 0.0, 1.0);
    return problems;
}

std::unique_ptr<Task> make_walk(const WalkOptions& options, std::uint64_t seed) {
    refuse("walk", options.validate());
    return std::make_unique<Walk>(options, seed);
}

}  // namespace tdrm::task
