#include "tdrm/math/tokenizer.hpp"

#include <algorithm>
#include <array>

#include "extract_parts.hpp"
#include "groups.hpp"
#include "read_number.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

constexpr int kTextDepth = 3;  // \text in \text

class Tokenizer {
public:
    Tokenizer(std::string_view text, Comma comma, Budget& budget, std::vector<Token>& tokens, int depth)
        : text_(text), comma_(comma), budget_(budget), tokens_(tokens), depth_(depth) {}

    void run() {
        while (at_ < text_.size()) {
            budget_.spend();
            const char c = text_[at_];
            if (is_space(c) || c == '~') {
                space_ = true;
                ++at_;
            } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
                number();
            } else if (is_letter(c)) {
                word();
            } else if (is_wide(c)) {
                wide_word();
            } else if (c == '\\') {
                command();
            } else {
                character(c);
            }
        }
    }

private:
    [[nodiscard]] char peek(std::size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    [[nodiscard]] bool ahead(std::string_view what) const { return text_.substr(at_).starts_with(what); }

    void emit(TokenKind kind, std::string value) {
        tokens_.push_back({kind, std::move(value), nullptr, false, space_});
        space_ = false;
    }
    void sign(std::string_view value) { emit(TokenKind::sign, std::string(value)); }

    /// Words follow each other as one text token.
    void words(std::string_view value) {
        if (!tokens_.empty() && tokens_.back().kind == TokenKind::text) {
            tokens_.back().text += (space_ ? " " : "") + std::string(value);
            space_ = false;
        } else {
            emit(TokenKind::text, std::string(value));
        }
    }

    void character(char c) {
        ++at_;
        switch (c) {
            case '$':
                if (const std::string_view currency = "currency dollar"; is_currency()) return sign(currency);
                space_ = true;
                return;
            case '"':
            case '`':
                space_ = true;
                return;
            case '*':
                if (peek(0) == '*')
                    ++at_, sign("^");
                else
                    sign("*");
                return;
            case '(':
            case '[':
                ++brackets_;
                break;
            case ')':
            case ']':
                if (brackets_ > 0) --brackets_;
                break;
            case '.':
            case '?':
                space_ = true;
                return;  // the end of a sentence
            case '<':
            case '>':
                if (peek(0) == '=')
                    ++at_, sign(c == '<' ? "l" : "g");
                else
                    sign(c == '<' ? "<" : ">");
                return;
            case '=':
                if (peek(0) == '=') ++at_;
                break;
            case '!':
                // "4!=24" is a factorial.
                if (peek(0) == '=' && !(at_ > 1 && (is_digit(text_[at_ - 2]) || text_[at_ - 2] == ')'))) {
                    ++at_;
                    sign("n");
                    return;
                }
                break;
            case '&':
                if (environments_ == 0) return;
                break;
            default:
                break;
        }
        sign(std::string_view(&c, 1));
    }

    /// A "$" that opens no formula and stands before or behind a number.
    bool is_currency() {
        if (in_formula_) {
            in_formula_ = false;
            return false;
        }
        const std::size_t dollar = at_ - 1;
        const auto closing = closing_dollar(text_, dollar);
        in_formula_ = closing.has_value();
        if (in_formula_) return false;
        return is_digit(peek(0)) || (peek(0) == '.' && is_digit(peek(1))) || (peek(0) == '-' && is_digit(peek(1))) ||
               (peek(0) == ' ' && is_digit(peek(1))) || (dollar > 0 && is_digit(text_[dollar - 1]));
    }

    /// The 2 of "\log_2 128".
    [[nodiscard]] bool is_index() const {
        return !tokens_.empty() && (tokens_.back().is("_") || tokens_.back().is("^"));
    }

    void number() {
        if (const auto date = read_date(text_, at_)) {
            emit(TokenKind::symbol, date->name);
            at_ += date->length;
            return;
        }
        ReadNumber read = read_number(text_, at_, comma_, brackets_ > 0 || is_index());
        budget_.spend(1 + read.length / 16);
        emit(TokenKind::number, std::move(read.digits));
        tokens_.back().inexact = read.inexact;
        tokens_.back().number = std::make_shared<const mpq_class>(std::move(read.value));
        at_ += read.length;
    }

    void word() {
        const std::size_t begin = at_;
        while (is_letter(peek(0))) ++at_;
        const std::string_view run = text_.substr(begin, at_ - begin);
        if (run == "U" && peek_bracket() && !tokens_.empty() && (tokens_.back().is(")") || tokens_.back().is("]")))
            return sign("cup");
        if (run.size() == 1 && (run == "a" || run == "p" || run == "A" || run == "P") &&
            (ahead(".m.") || ahead(".M.") || ahead(". m."))) {  // a.m., p.m.
            while (peek(0) != 'm' && peek(0) != 'M') ++at_;
            at_ += 2;
            return words(std::string{to_lower(run[0]), 'm'});
        }
        if (run == "x" && space_ && peek(0) == ' ' && is_digit(peek(1)) && !tokens_.empty() &&
            tokens_.back().kind == TokenKind::number)
            return sign("*");  // 3 x 10^5
        if (run == "US" && peek(0) == '$') return;
        if (run.size() == 1) return emit(TokenKind::symbol, std::string(run));
        std::string key(run);
        for (char& c : key) c = to_lower(c);
        if (const Command known = find_word(key); known.use == Command::Use::sign)
            return sign(known.value);
        else if (known.use == Command::Use::symbol)
            return emit(TokenKind::symbol, std::string(known.value));
        if (key == "in" && peek_bracket()) return sign("i");
        if (const auto function = find_function(run); !function.empty())
            return emit(TokenKind::function, std::string(function));
        if (run.size() >= 4 || is_short_word(key)) return words(key);
        for (const char c : run) emit(TokenKind::symbol, std::string(1, c));
    }

    [[nodiscard]] bool peek_bracket() const {
        std::size_t next = at_;
        while (next < text_.size() && (is_space(text_[next]) || text_[next] == '$')) ++next;
        return next < text_.size() && (text_[next] == '(' || text_[next] == '[' || text_[next] == '{');
    }

    void wide_word() {
        const std::size_t begin = at_;
        if (starts_with_sign(text_.substr(at_))) {
            at_ += 3;
            return sign(text_.substr(begin, 3));
        }
        while (is_wide(peek(0)) && !starts_with_sign(text_.substr(at_))) ++at_;
        const std::string_view run = text_.substr(begin, at_ - begin);
        const bool conjunction = run == "\xE5\x92\x8C" || run == "\xE4\xB8\x94" || run == "\xE4\xB8\x8E";
        if (conjunction)
            sign("and");
        else if (run == "\xE6\x88\x96" || run == "\xE6\x88\x96\xE8\x80\x85")
            sign("or");
        else
            words(run);
    }

    void command() {
        ++at_;
        if (!is_letter(peek(0))) return escaped();
        const std::size_t begin = at_;
        while (is_letter(peek(0))) ++at_;
        std::string_view name = text_.substr(begin, at_ - begin);
        Command known = find_command(name);
        // "\quadx", "\cdotx": the longest known beginning.
        for (std::size_t cut = name.size(); known.use == Command::Use::unknown && cut-- > 2;) {
            budget_.spend();
            if (const Command shorter = find_command(name.substr(0, cut)); shorter.use != Command::Use::unknown) {
                known = shorter;
                name = name.substr(0, cut);
                at_ = begin + cut;
            }
        }
        switch (known.use) {
            case Command::Use::drop:
                dropped(name);
                return;
            case Command::Use::drop_next:
                skip_argument();
                return;
            case Command::Use::sign:
                known_sign(known.value);
                return;
            case Command::Use::symbol:
                emit(TokenKind::symbol, std::string(known.value));
                return;
            case Command::Use::function:
                emit(TokenKind::function, std::string(known.value));
                return;
            case Command::Use::text_group:
                text_group();
                return;
            default:
                sign(text_.substr(begin - 1, at_ - begin + 1));  // not understood: no rule of the grammar takes it
        }
    }

    /// The group or [option] behind \color, \phantom, \hspace*.
    void skip_argument() {
        space_ = true;
        if (peek(0) == '*') ++at_;
        if (peek(0) != '{' && peek(0) != '[') return;
        const char open = peek(0), close = open == '{' ? '}' : ']';
        int depth = 0;
        for (; at_ < text_.size(); ++at_) {
            if (text_[at_] == open) ++depth;
            if (text_[at_] == close && --depth == 0) break;
        }
        if (at_ < text_.size()) ++at_;
    }

    void dropped(std::string_view name) {
        space_ = true;
        if ((name == "left" || name == "right") && peek(0) == '.') ++at_;
        if (name.ends_with("kern") || name.ends_with("skip"))  // \mkern3mu
            while (is_digit(peek(0)) || is_letter(peek(0)) || peek(0) == '-' || peek(0) == '.') ++at_;
    }

    void known_sign(std::string_view value) {
        if (value == "begin" || value == "end") return environment(value);
        if (value == "times") return sign(starts_with_vector(text_.substr(at_)) ? "cross" : "times");
        if (value == "\\{") ++brackets_;
        if (value == "\\}" && brackets_ > 0) --brackets_;
        const bool behind_set =
            !tokens_.empty() && (tokens_.back().is(")") || tokens_.back().is("]") || tokens_.back().is("\\}"));
        if (value == "bigcup" && behind_set && peek(0) != '_') return sign("cup");
        if (value == "pmod") return emit(TokenKind::function, "pmod");
        if (value == "currency cent") return words("cents");
        sign(value);
    }

    void environment(std::string_view which) {
        std::string name;
        if (peek(0) == '{') {
            ++at_;
            while (at_ < text_.size() && text_[at_] != '}') name += text_[at_++];
            if (at_ < text_.size()) ++at_;
        }
        const bool open = which == "begin";
        if (open && (name == "array" || name == "tabular") && peek(0) == '{') {
            while (at_ < text_.size() && text_[at_] != '}') ++at_;
            if (at_ < text_.size()) ++at_;
        }
        environments_ += open ? 1 : environments_ > 0 ? -1 : 0;
        if (name.ends_with("matrix") || name == "array") {
            brackets_ += open ? 1 : brackets_ > 0 ? -1 : 0;
            sign(std::string(which) + (name == "vmatrix" ? " vmatrix" : " matrix"));
        } else if (name == "cases") {
            sign(std::string(which) + " cases");
        }
    }

    void escaped() {
        const char c = peek(0);
        ++at_;
        switch (c) {
            case '{':
                ++brackets_;
                return sign("\\{");
            case '}':
                if (brackets_ > 0) --brackets_;
                return sign("\\}");
            case '%':
                return sign("%");
            case '|':
                return sign("|");
            case '$':
                return sign("currency dollar");
            case '\\':
                if (environments_ > 0)
                    sign("\\\\");
                else
                    space_ = true;
                return;
            default:
                if (is_digit(c)) --at_;
                space_ = true;  // \, \! \; \: \( \) \[ \] and unknown ones
        }
    }

    /// \text{...}: words, a connective, or mathematics if it holds no word.
    void text_group() {
        while (is_space(peek(0))) ++at_;
        if (peek(0) == '*') ++at_;
        if (peek(0) != '{') return;
        const std::size_t begin = ++at_;
        int open = 1;
        while (at_ < text_.size()) {
            if (text_[at_] == '{') ++open;
            if (text_[at_] == '}' && --open == 0) break;
            ++at_;
        }
        const std::string_view content = trimmed(text_.substr(begin, at_ - begin));
        if (at_ < text_.size()) ++at_;
        if (depth_ >= kTextDepth) return words(content);
        if (is_capitals(content)) return Tokenizer(content, comma_, budget_, tokens_, depth_ + 1).run();
        if (behind_quantity() && is_unit_letter(content)) return words(content.substr(content.find_first_not_of("~ ")));
        if (holds_words(content)) {
            space_ = true;
            for (const char c : content) budget_.spend(is_space(c) ? 0 : 1);
            return text_content(content);
        }
        Tokenizer(content, comma_, budget_, tokens_, depth_ + 1).run();
    }

    [[nodiscard]] bool behind_quantity() const {
        return !tokens_.empty() && (tokens_.back().kind == TokenKind::number || tokens_.back().is("}") ||
                                    tokens_.back().is(")") || tokens_.back().is("deg"));
    }

    void text_content(std::string_view content) {
        bool plain = true;
        for (const char c : content) plain = plain && (is_letter(c) || is_wide(c));
        if (plain) {
            std::string key(content);
            for (char& c : key) c = to_lower(c);
            if (const Command known = find_word(key); known.use == Command::Use::sign)
                return sign(known.value);
            else if (known.use == Command::Use::symbol)
                return emit(TokenKind::symbol, std::string(known.value));
            if (const auto function = find_function(content); !function.empty())
                return emit(TokenKind::function, std::string(function));
        }
        while (!content.empty() && (content.front() == ',' || is_space(content.front()))) content.remove_prefix(1);
        while (!content.empty() && (content.back() == ',' || is_space(content.back()))) content.remove_suffix(1);
        if (content == "and") return sign("and");
        if (content == "or" || content == "OR") return sign("or");
        if (!content.empty() && (is_digit(content.front())))
            return Tokenizer(content, comma_, budget_, tokens_, depth_ + 1).run();
        if (!content.empty()) words(content);
    }

    std::string_view text_;
    Comma comma_;
    Budget& budget_;
    std::vector<Token>& tokens_;
    int depth_;
    std::size_t at_ = 0;
    int brackets_ = 0;
    int environments_ = 0;
    bool space_ = false;
    bool in_formula_ = false;  ///< between two "$"
};

}  // namespace

std::vector<Token> tokenize(std::string_view answer, Comma comma, Budget& budget) {
    budget.spend(1 + answer.size() / 16);
    const std::string text = single_backslashes(to_latex_ascii(answer));
    std::vector<Token> tokens;
    tokens.reserve(text.size() / 2 + 2);
    Tokenizer(text, comma, budget, tokens, 0).run();
    tokens.push_back({});
    return tokens;
}

}  // namespace tdrm::math
