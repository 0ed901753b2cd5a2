#include "word_task.hpp"

#include <sstream>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"

namespace tdrm::task {

WordTask::WordTask(std::string kind, std::string answer_word, bool with_division, int smallest, int largest,
                   std::string options, Splits splits)
    : kind_(std::move(kind)),
      options_(std::move(options)),
      splits_(std::move(splits)),
      smallest_(smallest),
      words_{"<pad>", "END", "<value>", "?", std::move(answer_word), ";", "=", "+", "-", "*"} {
    if (with_division) words_.emplace_back("/");
    first_number_ = vocab_size();
    for (int n = smallest; n <= largest; ++n) words_.push_back(std::to_string(n));
    for (Token id = 0; id < vocab_size(); ++id) ids_[words_[static_cast<std::size_t>(id)]] = id;
}

std::string WordTask::fingerprint() const {
    return hash_hex(cat(kind_, '\n', options_, '\n', vocabulary_fingerprint()));
}

std::string WordTask::vocabulary_fingerprint() const {
    Hasher hasher;
    for (const std::string& word : words_) hasher.update(word + '\n');
    return hasher.hex();
}

std::string WordTask::token_text(Token token) const {
    if (token < 0 || token >= vocab_size())
        throw DataError(cat("token ", token, " isn't in the vocabulary of the task '", kind_, "' (ids are 0 to ",
                            vocab_size() - 1, "). The tokens were made for another task or with other options."));
    return words_[static_cast<std::size_t>(token)];
}

std::string WordTask::text(TokenSpan tokens) const {
    std::string text;
    for (const Token token : tokens) {
        if (!text.empty()) text += ' ';
        text += token_text(token);
    }
    return text;
}

Tokens WordTask::parse(std::string_view text) const {
    Tokens tokens;
    std::istringstream words{std::string(text)};
    for (std::string word; words >> word;) {
        const auto found = ids_.find(word);
        if (found == ids_.end())
            throw DataError(cat("the word '", word, "' isn't in the vocabulary of the task '", kind_,
                                "' (one token per word, separated by spaces). Check the text or the task's options."));
        tokens.push_back(found->second);
    }
    return tokens;
}

TokenSpan WordTask::probe() const {
    static constexpr Token kProbe[] = {kValue};
    return kProbe;
}

Problem WordTask::problem(std::string_view split, std::int64_t index) const {
    auto [random, id] = splits_.at(split, index);
    Problem problem = draw(random);
    problem.id = id;
    return problem;
}

std::vector<std::int32_t> WordTask::step_ends(TokenSpan answer) const {
    std::vector<std::int32_t> ends;
    std::size_t begin = 0;
    std::size_t words = 0;  // of the current step other than delimiters
    for (std::size_t i = 0; i < answer.size(); ++i) {
        const bool end = answer[i] == kEnd;
        const bool delimiter = answer[i] == kDelimiter;
        if (end && !end_closes_step()) break;
        if (!end && !delimiter) ++words;
        const bool full = i + 1 - begin == kMaxStepTokens;
        if (((delimiter || end) && words > 0) || full) {
            if (ends.size() == kMaxSteps) ends.pop_back();
            ends.push_back(static_cast<std::int32_t>(i + 1));
            begin = i + 1;
            words = 0;
        }
        if (end) break;
    }
    return ends;
}

namespace {

/// The rule of step_ends, token by token.
class WordSteps final : public StepTracker {
public:
    bool push(Token token) override {
        ++tokens_;
        if (token != kDelimiter) ++words_;
        const bool ends = (token == kDelimiter && words_ > 0) || tokens_ == kMaxStepTokens;
        if (ends) tokens_ = words_ = 0;
        return ends;
    }
    [[nodiscard]] std::unique_ptr<StepTracker> clone() const override { return std::make_unique<WordSteps>(*this); }

private:
    std::size_t tokens_ = 0;  ///< of the current step
    std::size_t words_ = 0;   ///< of these, other than delimiters
};

}  // namespace

std::unique_ptr<StepTracker> WordTask::track_steps() const { return std::make_unique<WordSteps>(); }

void WordTask::write(Tokens& tokens, const Equation& e) const {
    tokens.insert(tokens.end(), {number_token(e.a), e.op, number_token(e.b), kEquals, number_token(e.c), kDelimiter});
}

std::size_t WordTask::match_equation(TokenSpan tokens) const {
    std::size_t i = 0;
    for (; i < tokens.size() && i < kEquationTokens; ++i) {
        const Token token = tokens[i];
        const bool fits = i == 1   ? is_operator(token)
                          : i == 3 ? token == kEquals
                          : i == 5 ? token == kDelimiter
                                   : is_number(token);
        if (!fits) break;
    }
    return i;
}

std::optional<Equation> WordTask::equation(TokenSpan tokens) const {
    if (tokens.size() != kEquationTokens || match_equation(tokens) != kEquationTokens) return std::nullopt;
    return Equation{number(tokens[0]), tokens[1], number(tokens[2]), number(tokens[4])};
}

std::string describe_splits(const SplitSizes& sizes, const std::vector<std::string>& repeating) {
    std::string text = "splits";
    for (const auto& [name, size] : sizes) text += cat(' ', name, ':', size);
    text += " repeating";
    for (const std::string& name : repeating) text += ' ' + name;
    return text;
}

void WordTask::cannot_go_on(const Problem& problem, std::string_view why) {
    throw DataError(cat("an answer to problem ", problem.id, " can't be gone on with by the scripted policy (", why,
                        "). Begin it with steps of its own."));
}

void refuse(std::string_view kind, const std::vector<std::string>& problems) {
    if (problems.empty()) return;
    std::string message = cat("the task '", kind, "' can't be made:");
    for (const std::string& problem : problems) message += "\n  " + problem;
    throw ConfigError(message);
}

}  // namespace tdrm::task
