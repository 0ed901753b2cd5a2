#include "tdrm/math/verify.hpp"

#include <optional>
#include <vector>

#include "choice.hpp"
#include "tdrm/base/text.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/parser.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxParsedLength = 4096;  // longer answers are compared as text

/// Tokens without spaces and typography: equal for all LaTeX spellings of one text.
std::string plain_text(std::string_view answer, Budget& budget) {
    std::vector<Token> tokens = tokenize(answer, Comma::thousands, budget);
    tokens.pop_back();
    while (!tokens.empty() && (tokens.back().is(",") || tokens.back().is(";"))) tokens.pop_back();
    while (tokens.size() > 2 && tokens.front().is("{") && tokens.back().is("}")) {
        tokens.erase(tokens.begin());
        tokens.pop_back();
    }
    // The brace at `i` ends a ^{x} of one token, which is the same as ^x.
    const auto closes_single = [&](std::size_t i) {
        return i >= 3 && i < tokens.size() && tokens[i].is("}") && tokens[i - 2].is("{") && tokens[i - 3].is("^");
    };
    std::string text;
    bool name_before = false;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const std::size_t raised = i + (i + 1 < tokens.size() && tokens[i + 1].is("{") ? 2 : 1);
        if (tokens[i].is("^") && raised < tokens.size() && tokens[raised].text.starts_with("'")) continue;  // ^{\prime}
        if (closes_single(i) || (tokens[i].is("{") && closes_single(i + 2))) continue;
        const Token& token = tokens[i];
        const bool name =
            token.kind == TokenKind::text || token.kind == TokenKind::function || token.kind == TokenKind::number;
        if (name && name_before) text += ' ';
        name_before = name;
        budget.spend(1 + token.text.size() / 16);
        // Marks keep 0.5 apart from the tokens 1 / 2, and sin from s i n.
        if (token.kind == TokenKind::number && token.number->get_den() == 1)
            text += token.number->get_str();
        else if (token.kind == TokenKind::number)
            text += "<" + token.number->get_str() + ">";
        else if (token.kind == TokenKind::function || (token.kind == TokenKind::symbol && token.text.size() > 1))
            text += "\\" + token.text;
        else if (token.kind == TokenKind::text)
            text += word_key(token.text);
        else if (token.is("times") || token.is("cross"))
            text += "*";
        else
            text += token.text;
    }
    return text;
}

/// One way to read an answer, with its tree if it has one.
struct Reading {
    Comma comma;
    std::optional<Expression> tree;
    bool may_be_number = false;  ///< "1,234": a list only beside a list
};

/// "1,234" is a number or a list; "0,5" a list, or a decimal where commas may be decimal.
std::vector<Reading> readings_of(std::string_view answer, bool decimal_comma, Budget& budget) {
    decimal_comma = decimal_comma || answer.find("\xE2\x82\xAC") != std::string_view::npos;  // EUR 3,50
    std::vector<Reading> readings = {{Comma::thousands, std::nullopt}};
    bool between_digits = false, decimal = false;
    for (std::size_t i = 1; i + 1 < answer.size(); ++i) {
        if (answer[i] != ',' || !is_digit(answer[i - 1]) || !is_digit(answer[i + 1])) continue;
        between_digits = true;
        std::size_t end = i + 1;
        while (end < answer.size() && is_digit(answer[end])) ++end;
        decimal = end - i - 1 != 3 || (answer[i - 1] == '0' && (i == 1 || !is_digit(answer[i - 2])));
    }
    if (between_digits) readings.push_back({Comma::separator, std::nullopt});
    if (decimal && decimal_comma) readings.push_back({Comma::decimal, std::nullopt});
    for (Reading& reading : readings) {
        reading.tree = parse(answer, reading.comma, budget);
        reading.may_be_number = readings[0].tree && readings[0].tree->is(Kind::number);
    }
    return readings;
}

bool is_decimal_number(const Reading& reading) {
    return reading.tree && any_node(*reading.tree, [](const Expression& node) { return node.inexact; });
}

/// A decimal comma is believed only where it is asked for and the other side has a decimal point.
bool may_compare(const Reading& a, const Reading& b) {
    if (!a.tree || !b.tree) return false;
    if (a.comma == Comma::separator && b.comma == Comma::separator && a.may_be_number && b.may_be_number) return false;
    if (a.comma == Comma::decimal) return b.comma == Comma::thousands && is_decimal_number(b);
    if (b.comma == Comma::decimal) return a.comma == Comma::thousands && is_decimal_number(a);
    return true;
}

class Verification {
public:
    Verification(const VerifyOptions& options) : options_(options), budget_(options.budget) {}

    Verdict run(std::string_view gold, std::string_view answer) {
        Verdict verdict;
        try {
            judge(trimmed(gold), trimmed(answer), verdict);
        } catch (const BudgetExceeded&) {
            verdict.equal = false;
            verdict.reason = "budget";
        }
        verdict.operations = budget_.used();
        return verdict;
    }

private:
    void decide(Verdict& verdict, bool equal, const char* reason) {
        verdict.equal = equal;
        verdict.reason = reason;
    }

    void judge(std::string_view gold, std::string_view answer, Verdict& verdict) {
        verdict.gold = shortened(gold);
        verdict.answer = shortened(answer);
        if (gold == answer) return decide(verdict, true, "same text");
        if (gold.size() > kMaxParsedLength || answer.size() > kMaxParsedLength)
            return decide(verdict, false, "different text");
        const std::string gold_text = plain_text(gold, budget_), answer_text = plain_text(answer, budget_);
        verdict.gold = gold_text;
        verdict.answer = answer_text;
        if (gold_text == answer_text && !gold_text.empty()) return decide(verdict, true, "same text");
        const std::vector<Reading> golds = readings_of(gold, options_.decimal_comma, budget_),
                                   answers = readings_of(answer, options_.decimal_comma, budget_);
        if (golds[0].tree) verdict.gold = to_text(*golds[0].tree);
        if (answers[0].tree) verdict.answer = to_text(*answers[0].tree);
        if (const auto same = same_choice(gold, answer))
            return decide(verdict, *same, *same ? "same choice" : "undecided");
        // Words are compared as they are written; of a value and words nothing is known.
        const bool words = !golds[0].tree && !answers[0].tree;
        bool different = words, undecided = false;
        for (const Reading& a : golds) {
            for (const Reading& b : answers) {
                if (!may_compare(a, b)) continue;
                const Decision decision = compare(*a.tree, *b.tree, options_.compare, budget_);
                if (decision == Decision::equal) return decide(verdict, true, "same value");
                undecided = undecided || decision == Decision::undecided;
                different = different || decision == Decision::different;
            }
        }
        decide(verdict, false, undecided || !different ? "undecided" : words ? "different text" : "different");
    }

    const VerifyOptions& options_;
    Budget budget_;
};

constexpr std::size_t kMaxGuessedLength = 2000;

bool is_guess(const Extraction& extraction, std::string_view text) {
    return extraction.place >= AnswerPlace::formula && text.size() <= kMaxGuessedLength;
}

/// The second verdict if it says equal; operations add up in the budget that both share.
Verdict retried(Verdict first, Verdict second) {
    if (second.equal) return second;
    first.operations = second.operations;
    if (second.reason == "budget") first.reason = "budget";
    return first;
}

}  // namespace

Verdict verify(std::string_view gold, std::string_view answer, const VerifyOptions& options) {
    const Extraction expected = extract_answer(gold, options.extract);
    const Extraction given = extract_answer(answer, options.extract);
    if (expected.place != AnswerPlace::none && given.place != AnswerPlace::none) {
        Verification verification(options);
        // A short text of formulas and words ("$f(x) = ax$, where $a > 0$") may also be meant as a whole, and must be
        // if the gold answer has several formulas.
        Verdict verdict = verification.run(expected.ambiguous ? gold : expected.text, given.text);
        if (!verdict.equal && is_guess(expected, gold) && !expected.ambiguous)
            verdict = retried(verdict, verification.run(gold, given.text));
        if (!verdict.equal && is_guess(given, answer))
            verdict = retried(verdict, verification.run(expected.ambiguous ? gold : expected.text, answer));
        return verdict;
    }
    Verdict verdict;
    verdict.gold = expected.text;
    verdict.answer = given.text;
    verdict.reason = expected.place == AnswerPlace::none ? "no gold answer" : "no answer";
    return verdict;
}

}  // namespace tdrm::math
