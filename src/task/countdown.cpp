#include "tdrm/task/countdown.hpp"

#include <algorithm>
#include <array>

#include "countdown_moves.hpp"
#include "tdrm/base/errors.hpp"
#include "word_task.hpp"

namespace tdrm::task {
namespace {

using namespace countdown;

struct Puzzle {
    Numbers numbers;
    int target = 0;
};

/// Can optimal play still reach the target with all numbers? Plain search: 0.2 us for 3 numbers left.
bool reachable(const Numbers& numbers, int target, int max_result) {
    if (numbers.size() == 1) return numbers[0] == target;
    for (int i = 0; i < numbers.size(); ++i)
        for (int j = i + 1; j < numbers.size(); ++j)
            for (Token op = kPlus; op <= kDivide; ++op) {
                const int result = equation_of(numbers, {i, j, op}, max_result).c;
                if (result > 0 && reachable(after(numbers, {i, j, op}, result), target, max_result)) return true;
            }
    return false;
}

/// Appends a random way to the target: depth-first search that tries the moves in random order.
bool solve(const Numbers& numbers, int target, int max_result, Random& random, std::vector<Equation>& steps) {
    if (numbers.size() == 1) return numbers[0] == target;
    LegalMoves moves(numbers, max_result);
    if (numbers.size() == 2) {  // saves random numbers: few moves hit
        moves.keep_if([&](const Equation& equation) { return equation.c == target; });
    }
    for (; moves.size > 0; --moves.size) {
        std::swap(moves.items[random.next_below(moves.size)], moves.items[moves.size - 1]);
        const auto& [move, equation] = moves.items[moves.size - 1];
        steps.push_back(equation);
        if (solve(after(numbers, move, equation.c), target, max_result, random, steps)) return true;
        steps.pop_back();
    }
    return false;
}

/// Plays one random legal move.
Equation play(Numbers& numbers, int max_result, Random& random) {
    const LegalMoves moves(numbers, max_result);
    const auto& [move, equation] = moves.items[random.next_below(moves.size)];
    numbers = after(numbers, move, equation.c);
    return equation;
}

/// Random numbers, and as target what random legal play makes of all of them.
Puzzle draw_puzzle(const CountdownOptions& options, Random& random) {
    for (;;) {
        Puzzle puzzle;
        for (int i = 0; i < options.numbers; ++i)
            puzzle.numbers.push(1 +
                                static_cast<int>(random.next_below(static_cast<std::uint64_t>(options.max_number))));
        Numbers left = puzzle.numbers;
        while (left.size() > 1) play(left, options.max_result, random);
        puzzle.target = left[0];
        if (puzzle.target <= options.max_target) return puzzle;
    }
}

/// Sorted numbers and target, ten bits each.
std::uint64_t canonical(const Puzzle& puzzle) {
    std::array<int, kMaxNumbers> sorted{};
    std::copy(puzzle.numbers.begin(), puzzle.numbers.end(), sorted.begin());
    std::sort(sorted.begin(), sorted.end());
    auto key = static_cast<std::uint64_t>(puzzle.target);
    for (const int number : sorted) key = key << 10 | static_cast<std::uint64_t>(number);
    return key;
}

/// Follows the steps of an answer.
class Play {
public:
    Play(const Puzzle& puzzle, int max_result)
        : left_(puzzle.numbers), seen_(puzzle.numbers.begin(), puzzle.numbers.end()), max_result_(max_result) {}

    [[nodiscard]] const Numbers& left() const { return left_; }
    /// Plays a step. @returns Reason::correct, or why it is illegal; then the play is over.
    Reason step(const Equation& e) {
        for (const int operand : {e.a, e.b}) {
            if (left_.take(operand)) continue;
            const bool was_there = std::find(seen_.begin(), seen_.end(), operand) != seen_.end();
            return was_there ? Reason::number_reused : Reason::number_unavailable;
        }
        if (e.a < e.b) return Reason::smaller_first;
        if (e.op == kDivide && e.a % e.b != 0) return Reason::inexact_division;
        const int result = apply(e.a, e.op, e.b, max_result_);
        if (result == 0) return Reason::result_out_of_bounds;
        if (result != e.c) return Reason::wrong_arithmetic;
        left_.push(result);
        seen_.push_back(result);
        return Reason::correct;
    }

private:
    Numbers left_;
    std::vector<int> seen_;
    int max_result_;
};

std::string describe_options(const CountdownOptions& o, std::uint64_t seed) {
    return cat("numbers ", o.numbers, " max_number ", o.max_number, " max_target ", o.max_target, " max_result ",
               o.max_result, " noise ", o.noise, " seed ", seed, ' ', describe_splits(o.splits, o.repeating));
}

class Countdown final : public WordTask {
public:
    Countdown(const CountdownOptions& options, std::uint64_t seed)
        : WordTask("countdown", "A", true, 1, options.max_result, describe_options(options, seed),
                   Splits(options.splits, options.repeating, seed,
                          [options](Random& random) { return canonical(draw_puzzle(options, random)); })),
          options_(options) {}

    [[nodiscard]] int max_prompt_tokens() const override { return options_.numbers + 3; }
    [[nodiscard]] int max_answer_tokens() const override { return 6 * (options_.numbers - 1) + 1; }
    [[nodiscard]] Tokens scripted_rest(const Problem& problem, TokenSpan begun, std::uint64_t seed,
                                       std::uint64_t visit) const override;
    [[nodiscard]] Verdict verdict(const Problem& problem, TokenSpan answer) const override;
    [[nodiscard]] Reason judge(const Problem& problem, TokenSpan answer) const;
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

    CountdownOptions options_;
};

Problem Countdown::draw(Random& random) const {
    const Puzzle puzzle = draw_puzzle(options_, random);
    Problem problem;
    problem.prompt.reserve(static_cast<std::size_t>(max_prompt_tokens()));
    for (const int number : puzzle.numbers) problem.prompt.push_back(number_token(number));
    problem.prompt.insert(problem.prompt.end(), {kAsk, number_token(puzzle.target), kAnswer});
    problem.answer = std::to_string(puzzle.target);
    return problem;
}

Puzzle Countdown::puzzle(const Problem& problem) const {
    const Tokens& prompt = problem.prompt;
    const auto n = static_cast<std::size_t>(options_.numbers);
    bool whole = prompt.size() == n + 3 && prompt[n] == kAsk && is_number(prompt[n + 1]) && prompt[n + 2] == kAnswer;
    Puzzle puzzle;
    for (std::size_t i = 0; whole && i < n; ++i) {
        whole = is_number(prompt[i]);
        puzzle.numbers.push(number(prompt[i]));
    }
    if (!whole)
        throw DataError(cat("problem ", problem.id, " isn't a countdown problem with ", n,
                            " numbers (the prompt doesn't follow the grammar). Use the task it was made with."));
    puzzle.target = number(prompt[n + 1]);
    return puzzle;
}

Tokens Countdown::scripted_rest(const Problem& problem, TokenSpan begun, std::uint64_t seed,
                                std::uint64_t visit) const {
    Random random(random_key(seed, "demonstration", problem.id, visit));
    const Puzzle puzzle = this->puzzle(problem);
    Play so_far(puzzle, options_.max_result);
    for (; !begun.empty(); begun = begun.subspan(kEquationTokens)) {
        const auto step = equation(begun.first(std::min(begun.size(), kEquationTokens)));
        if (!step || so_far.step(*step) != Reason::correct) cannot_go_on(problem, "a step isn't legal");
    }
    Numbers left = so_far.left();
    const int target = puzzle.target;
    std::vector<Equation> steps;
    if (options_.noise > 0) {
        // A step in error leaves the solution; from there on the best play goes on, if there is any.
        while (left.size() > 1) {
            std::vector<Equation> way;
            const bool err = random.next_uniform() < options_.noise;
            if (err || !solve(left, target, options_.max_result, random, way)) {
                steps.push_back(play(left, options_.max_result, random));
                continue;
            }
            steps.push_back(way.front());
            left.take(way.front().a);
            left.take(way.front().b);
            left.push(way.front().c);
        }
    } else if (!solve(left, target, options_.max_result, random, steps)) {
        throw DataError(cat("problem ", problem.id,
                            " has no solution (a demonstration needs one). Draw problems from "
                            "the task's splits."));
    }
    Tokens answer;
    answer.reserve(static_cast<std::size_t>(max_answer_tokens()));
    for (const Equation& step : steps) write(answer, step);
    answer.push_back(kEnd);
    return answer;
}

Reason Countdown::judge(const Problem& problem, TokenSpan answer) const {
    const Puzzle puzzle = this->puzzle(problem);
    Play play(puzzle, options_.max_result);
    TokenSpan rest = answer;
    while (!rest.empty() && rest[0] != kEnd) {
        if (play.left().size() == 1) return Reason::trailing_tokens;
        const std::size_t matched = match_equation(rest);
        if (matched == rest.size() && matched < kEquationTokens) return Reason::truncated;
        if (matched < kEquationTokens) return Reason::malformed_step;
        const Reason reason = play.step(*equation(rest.first(kEquationTokens)));
        if (reason != Reason::correct) return reason;
        rest = rest.subspan(kEquationTokens);
    }
    if (rest.empty()) return Reason::truncated;
    if (rest.size() > 1) return Reason::trailing_tokens;
    if (play.left().size() > 1) return Reason::no_answer;
    return play.left()[0] == puzzle.target ? Reason::correct : Reason::wrong_answer;
}

Verdict Countdown::verdict(const Problem& problem, TokenSpan answer) const {
    const Reason reason = judge(problem, answer);
    // What is voted on is the solution as it is written: the number at its end is the target, which everybody knows.
    const auto is_word = [this](Token token) { return token >= 0 && token < vocab_size(); };
    const bool ended = answer.size() > 1 && answer.back() == kEnd && std::all_of(answer.begin(), answer.end(), is_word);
    return {reason == Reason::correct, ended ? text(answer.first(answer.size() - 1)) : "", reason};
}

std::int64_t Countdown::penultimate(TokenSpan, std::span<const std::int32_t> step_ends) const {
    const std::int64_t before_last_step = options_.numbers - 2;  // at least 1 since there are 3 numbers or more
    return std::ssize(step_ends) > before_last_step ? before_last_step : std::ssize(step_ends);
}

std::vector<float> Countdown::truth(const Problem& problem, TokenSpan answer,
                                    std::span<const std::int32_t> step_ends) const {
    const Puzzle puzzle = this->puzzle(problem);
    Play play(puzzle, options_.max_result);
    std::vector<float> truth(step_ends.size() + 1, 0.0F);
    const auto alive = [&] { return reachable(play.left(), puzzle.target, options_.max_result); };
    truth[0] = alive() ? 1.0F : 0.0F;
    for (std::size_t t = 0; t < step_ends.size() && truth[t] > 0; ++t) {
        const auto step = equation(step_tokens(answer, step_ends, t));
        if (step && play.step(*step) == Reason::correct && alive()) truth[t + 1] = 1.0F;
    }
    return truth;
}

std::vector<std::uint8_t> Countdown::step_right(const Problem& problem, TokenSpan answer,
                                                std::span<const std::int32_t> step_ends) const {
    Play play(puzzle(problem), options_.max_result);
    std::vector<std::uint8_t> right(step_ends.size(), 0);
    for (std::size_t t = 0; t < step_ends.size(); ++t) {
        const auto step = equation(step_tokens(answer, step_ends, t));
        if (!step || play.step(*step) != Reason::correct) break;  // what follows an illegal step is dead
        right[t] = 1;
    }
    return right;
}

std::string Countdown::scripted_policy() const {
    if (options_.noise == 1) return "random legal play";
    const std::string best = "play that keeps the target within reach";
    return options_.noise == 0 ? best : cat(best, ", ", options_.noise, " of the steps random legal play");
}

std::vector<float> Countdown::scripted_value(const Problem& problem, TokenSpan answer,
                                             std::span<const std::int32_t> step_ends) const {
    const Puzzle puzzle = this->puzzle(problem);
    Play play(puzzle, options_.max_result);
    ScriptedValue value(puzzle.target, options_.noise, options_.max_result);
    std::vector<float> result(step_ends.size() + 1, 0.0F);
    result[0] = static_cast<float>(value(play.left()));
    for (std::size_t t = 0; t < step_ends.size(); ++t) {
        const auto step = equation(step_tokens(answer, step_ends, t));
        if (!step || play.step(*step) != Reason::correct) break;  // what follows an illegal step is dead
        result[t + 1] = static_cast<float>(value(play.left()));
    }
    return result;
}

}  // namespace

std::vector<std::string> CountdownOptions::validate() const {
    std::vector<std::string> problems = validate_splits(splits);
    const auto check = [&](std::string_view option, auto value, auto low, auto high) {
        if (!(value >= low && value <= high))
            problems.push_back(cat(option, " is ", value, "; it must be in [", low, ", ", high, "]."));
    };
    check("numbers", numbers, 3, kMaxNumbers);
    check("max_number", max_number, 2, 100);
    check("max_result", max_result, 2, 1000);
    check("max_target", max_target, 1, max_result);
    if (max_number > max_result)
        problems.push_back(cat("max_number is ", max_number, "; it can't exceed max_result, ", max_result, "."));
    check("noise", noise, 0.0, 1.0);
    return problems;
}

std::unique_ptr<Task> make_countdown(const CountdownOptions& options, std::uint64_t seed) {
    refuse("countdown", options.validate());
    return std::make_unique<Countdown>(options, seed);
}

}  // namespace tdrm::task
