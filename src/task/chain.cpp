#include "tdrm/task/chain.hpp"

#include <algorithm>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "word_task.hpp"

namespace tdrm::task {
namespace {

constexpr int kMaxOperations = 16;

/// first op b, op b, ...
struct Expression {
    struct Operation {
        Token op;
        int b;
    };
    int first = 0;
    std::vector<Operation> operations;
};

int apply(int a, Token op, int b, int modulus) {
    const int result = op == kPlus ? a + b : op == kMinus ? a - b : a * b;
    return ((result % modulus) + modulus) % modulus;
}

int evaluate(const Expression& expression, int modulus) {
    int value = expression.first;
    for (const auto& [op, b] : expression.operations) value = apply(value, op, b, modulus);
    return value;
}

Expression draw_expression(const ChainOptions& options, Random& random) {
    const auto below = [&](int n) { return static_cast<int>(random.next_below(static_cast<std::uint64_t>(n))); };
    Expression expression;
    const int operations = options.min_steps + below(options.max_steps - options.min_steps + 1);
    expression.first = below(options.modulus);
    for (int i = 0; i < operations; ++i) {
        const Token op = kPlus + below(3);
        expression.operations.push_back({op, below(options.modulus)});
    }
    return expression;
}

std::uint64_t canonical(const Expression& expression) {
    std::string key(1, static_cast<char>(expression.first));
    for (const auto& [op, b] : expression.operations) {
        key.push_back(static_cast<char>(op));
        key.push_back(static_cast<char>(b));
    }
    return hash64(key);
}

std::string describe_options(const ChainOptions& o, std::uint64_t seed) {
    return cat("min_steps ", o.min_steps, " max_steps ", o.max_steps, " modulus ", o.modulus, " noise ", o.noise,
               " seed ", seed, ' ', describe_splits(o.splits, o.repeating));
}

class Chain final : public WordTask {
public:
    Chain(const ChainOptions& options, std::uint64_t seed)
        : WordTask("chain", "#", false, 0, options.modulus - 1, describe_options(options, seed),
                   Splits(options.splits, options.repeating, seed,
                          [options](Random& random) { return canonical(draw_expression(options, random)); })),
          options_(options) {}

    [[nodiscard]] int max_prompt_tokens() const override { return 2 * options_.max_steps + 2; }
    [[nodiscard]] int max_answer_tokens() const override { return 6 * options_.max_steps + 3; }
    [[nodiscard]] Tokens scripted_rest(const Problem& problem, TokenSpan begun, std::uint64_t seed,
                                       std::uint64_t visit) const override;
    [[nodiscard]] Verdict verdict(const Problem& problem, TokenSpan answer) const override;
    [[nodiscard]] std::int64_t penultimate(TokenSpan answer, std::span<const std::int32_t> step_ends) const override;
    [[nodiscard]] TruthKind truth_kind() const override { return TruthKind::no_error_so_far; }
    [[nodiscard]] std::vector<float> truth(const Problem& problem, TokenSpan answer,
                                           std::span<const std::int32_t> step_ends) const override;
    [[nodiscard]] std::vector<std::uint8_t> step_right(const Problem& problem, TokenSpan answer,
                                                       std::span<const std::int32_t> step_ends) const override;
    [[nodiscard]] std::string scripted_policy() const override;
    [[nodiscard]] std::vector<float> scripted_value(const Problem& problem, TokenSpan answer,
                                                    std::span<const std::int32_t> step_ends) const override;

protected:
    [[nodiscard]] Problem draw(Random& random) const override;
    [[nodiscard]] bool end_closes_step() const override { return true; }

private:
    [[nodiscard]] Expression expression(const Problem& problem) const;

    ChainOptions options_;
};

Problem Chain::draw(Random& random) const {
    const Expression expression = draw_expression(options_, random);
    Problem problem;
    problem.prompt.push_back(number_token(expression.first));
    for (const auto& [op, b] : expression.operations)
        problem.prompt.insert(problem.prompt.end(), {op, number_token(b)});
    problem.prompt.push_back(kAsk);
    problem.answer = std::to_string(evaluate(expression, options_.modulus));
    return problem;
}

Expression Chain::expression(const Problem& problem) const {
    const Tokens& prompt = problem.prompt;
    bool whole = prompt.size() >= 4 && prompt.size() % 2 == 0 && prompt.back() == kAsk && is_number(prompt[0]);
    Expression expression;
    if (whole) expression.first = number(prompt[0]);
    for (std::size_t i = 1; whole && i + 1 < prompt.size(); i += 2) {
        whole = is_operator(prompt[i]) && is_number(prompt[i + 1]);
        expression.operations.push_back({prompt[i], number(prompt[i + 1])});
    }
    if (!whole)
        throw DataError(cat("problem ", problem.id,
                            " isn't a chain problem (the prompt doesn't follow the grammar). "
                            "Use the task it was made with."));
    return expression;
}

Tokens Chain::scripted_rest(const Problem& problem, TokenSpan begun, std::uint64_t seed, std::uint64_t visit) const {
    Random random(random_key(seed, "demonstration", problem.id, visit));
    const Expression expression = this->expression(problem);
    Tokens answer;
    int value = expression.first;
    std::size_t steps = 0;
    for (; begun.size() >= kEquationTokens; begun = begun.subspan(kEquationTokens), ++steps) {
        const auto written = equation(begun.first(kEquationTokens));
        if (!written) cannot_go_on(problem, "a step can't be read");
        value = written->c;
    }
    if (!begun.empty() || steps > expression.operations.size()) cannot_go_on(problem, "its result is stated already");
    for (; steps < expression.operations.size(); ++steps) {
        const auto& [op, b] = expression.operations[steps];
        int result = apply(value, op, b, options_.modulus);
        if (options_.noise > 0 && random.next_uniform() < options_.noise) {
            const auto shift = 1 + random.next_below(static_cast<std::uint64_t>(options_.modulus - 1));
            result = (result + static_cast<int>(shift)) % options_.modulus;
        }
        write(answer, {value, op, b, result});
        value = result;
    }
    answer.insert(answer.end(), {kAnswer, number_token(value), kEnd});
    return answer;
}

Verdict Chain::verdict(const Problem& problem, TokenSpan answer) const {
    const Expression expression = this->expression(problem);
    const auto end = std::find(answer.begin(), answer.end(), kEnd);
    if (end == answer.end()) return {false, "", Reason::truncated};
    const auto marker = std::find(answer.begin(), end, kAnswer);
    if (marker == end || marker + 1 == end || !is_number(marker[1])) return {false, "", Reason::no_answer};
    if (marker + 2 != end || end + 1 != answer.end()) return {false, "", Reason::trailing_tokens};

    Verdict verdict{false, std::to_string(number(marker[1])), Reason::wrong_answer};
    if (verdict.answer != problem.answer) return verdict;
    verdict.correct = true;
    const std::vector<std::uint8_t> right = step_right(problem, answer, step_ends(answer));
    const bool clean = right.size() == expression.operations.size() + 1 &&
                       std::all_of(right.begin(), right.end(), [](std::uint8_t r) { return r == 1; });
    verdict.reason = clean ? Reason::correct : Reason::correct_despite_error;
    return verdict;
}

std::int64_t Chain::penultimate(TokenSpan answer, std::span<const std::int32_t> step_ends) const {
    const std::int64_t steps = std::ssize(step_ends);
    for (std::int64_t t = 0; t < steps; ++t) {
        const TokenSpan step = step_tokens(answer, step_ends, static_cast<std::size_t>(t));
        if (std::find(step.begin(), step.end(), kAnswer) != step.end())
            return std::min(std::max<std::int64_t>(t, 1), steps);
    }
    return steps;
}

std::vector<std::uint8_t> Chain::step_right(const Problem& problem, TokenSpan answer,
                                            std::span<const std::int32_t> step_ends) const {
    const auto [first, operations] = expression(problem);
    std::vector<std::uint8_t> right(step_ends.size(), 0);
    std::optional<int> value = first;  // as written, right or wrong; none after a step that can't be read
    for (std::size_t t = 0; t < step_ends.size(); ++t) {
        const TokenSpan tokens = step_tokens(answer, step_ends, t);
        if (t < operations.size()) {
            const auto step = equation(tokens);
            right[t] = step && step->a == value && step->op == operations[t].op && step->b == operations[t].b &&
                       step->c == apply(step->a, step->op, step->b, options_.modulus);
            value = step ? std::optional(step->c) : std::nullopt;
        } else if (t == operations.size()) {
            right[t] = tokens.size() == 3 && tokens[0] == kAnswer && is_number(tokens[1]) &&
                       number(tokens[1]) == value && tokens[2] == kEnd;
        }
    }
    return right;
}

std::vector<float> Chain::truth(const Problem& problem, TokenSpan answer,
                                std::span<const std::int32_t> step_ends) const {
    const std::vector<std::uint8_t> right = step_right(problem, answer, step_ends);
    std::vector<float> truth(right.size() + 1, 1.0F);
    for (std::size_t t = 0; t < right.size(); ++t) truth[t + 1] = right[t] == 1 ? truth[t] : 0.0F;
    return truth;
}

std::string Chain::scripted_policy() const {
    return options_.noise == 0 ? "no errors" : cat("a wrong result in ", options_.noise, " of the steps");
}

std::vector<float> Chain::scripted_value(const Problem& problem, TokenSpan answer,
                                         std::span<const std::int32_t> step_ends) const {
    const Expression expression = this->expression(problem);
    const std::size_t operations = expression.operations.size();
    const auto m = static_cast<std::size_t>(options_.modulus);
    // right[t][v]: chance of the right result if v is what was written before operation t.
    std::vector<std::vector<double>> right(operations + 1, std::vector<double>(m, 0.0));
    right[operations][static_cast<std::size_t>(evaluate(expression, options_.modulus))] = 1;
    for (std::size_t t = operations; t-- > 0;) {
        double all = 0;
        for (const double chance : right[t + 1]) all += chance;
        for (std::size_t v = 0; v < m; ++v) {
            const auto& [op, b] = expression.operations[t];
            const double good =
                right[t + 1][static_cast<std::size_t>(apply(static_cast<int>(v), op, b, options_.modulus))];
            right[t][v] =
                (1 - options_.noise) * good + options_.noise * (all - good) / static_cast<double>(options_.modulus - 1);
        }
    }
    std::vector<float> value(step_ends.size() + 1, std::numeric_limits<float>::quiet_NaN());
    value[0] = static_cast<float>(right[0][static_cast<std::size_t>(expression.first)]);
    for (std::size_t t = 0; t < step_ends.size() && t <= operations; ++t) {
        const TokenSpan tokens = step_tokens(answer, step_ends, t);
        if (t == operations) {
            if (tokens.size() == 3 && tokens[0] == kAnswer && is_number(tokens[1]) && tokens[2] == kEnd)
                value[t + 1] = std::to_string(number(tokens[1])) == problem.answer ? 1.0F : 0.0F;
            break;
        }
        const auto step = equation(tokens);
        if (!step) break;  // the scripted policy never stands here
        value[t + 1] = static_cast<float>(right[t + 1][static_cast<std::size_t>(step->c)]);
    }
    return value;
}

}  // namespace

std::vector<std::string> ChainOptions::validate() const {
    std::vector<std::string> problems = validate_splits(splits);
    const auto check = [&](std::string_view option, auto value, auto low, auto high) {
        if (!(value >= low && value <= high))
            problems.push_back(cat(option, " is ", value, "; it must be in [", low, ", ", high, "]."));
    };
    check("min_steps", min_steps, 1, kMaxOperations);
    check("max_steps", max_steps, min_steps, kMaxOperations);
    check("modulus", modulus, 2, 100);
    check("noise", noise, 0.0, 1.0);
    return problems;
}

std::unique_ptr<Task> make_chain(const ChainOptions& options, std::uint64_t seed) {
    refuse("chain", options.validate());
    return std::make_unique<Chain>(options, seed);
}

}  // namespace tdrm::task
