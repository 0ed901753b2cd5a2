#include "tdrm/math/tokenizer.hpp"

#include <algorithm>
#include <array>

#include "extract_parts.hpp"
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

    /// 2020-01-02, 2020/1/2, 1/2/2020: a name, not a difference or quotient. Years first are spelt in one way.
    bool date() {
        if (at_ > 0 &&
            (is_digit(text_[at_ - 1]) || std::string_view("/-.^_{").find(text_[at_ - 1]) != std::string_view::npos))
            return false;
        std::array<std::string, 3> parts;
        std::size_t end = at_;
        char mark = '\0';
        for (std::size_t part = 0; part < 3; ++part) {
            if (part > 0) {
                const char c = end < text_.size() ? text_[end++] : '\0';
                if ((c != '-' && c != '/') || (part == 2 && c != mark)) return false;
                mark = c;
            }
            while (end < text_.size() && is_digit(text_[end]) && parts[part].size() < 5) parts[part] += text_[end++];
        }
        if (end < text_.size() && (is_digit(text_[end]) || text_[end] == mark)) return false;
        const auto small = [](const std::string& part) { return part.size() == 1 || part.size() == 2; };
        const bool year_first = parts[0].size() == 4 && small(parts[1]) && small(parts[2]);
        if (!year_first && !(small(parts[0]) && small(parts[1]) && parts[2].size() == 4)) return false;
        const auto value = [](const std::string& part) { return std::to_string(std::stoi(part)); };
        emit(TokenKind::symbol, "date " + value(parts[0]) + "-" + value(parts[1]) + "-" + value(parts[2]));
        at_ = end;
        return true;
    }

    /// The 2 of "\log_2 128".
    [[nodiscard]] bool is_index() const {
        return !tokens_.empty() && (tokens_.back().is("_") || tokens_.back().is("^"));
    }

    void number() {
        if (date()) return;
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

    /// U+2180 ... U+22FF: arrows and operators that nobody has translated aren't words.
    [[nodiscard]] bool at_mathematical_sign() const {
        const auto second = static_cast<unsigned char>(peek(1));
        return peek(0) == '\xE2' && second >= 0x86 && second <= 0x8B;
    }

    void wide_word() {
        const std::size_t begin = at_;
        if (at_mathematical_sign()) {
            at_ += 3;
            return sign(text_.substr(begin, 3));
        }
        while (is_wide(peek(0)) && !at_mathematical_sign()) ++at_;
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
        if (value == "times") return sign(at_bold() ? "cross" : "times");
        if (value == "\\{") ++brackets_;
        if (value == "\\}" && brackets_ > 0) --brackets_;
        const bool behind_set =
            !tokens_.empty() && (tokens_.back().is(")") || tokens_.back().is("]") || tokens_.back().is("\\}"));
        if (value == "bigcup" && behind_set && peek(0) != '_') return sign("cup");
        if (value == "pmod") return emit(TokenKind::function, "pmod");
        if (value == "currency cent") return words("cents");
        sign(value);
    }

    /// A vector in bold: products of vectors don't commute.
    [[nodiscard]] bool at_bold() const {
        std::size_t next = at_;
        while (next < text_.size() && is_space(text_[next])) ++next;
        const std::string_view rest = text_.substr(next);
        return rest.starts_with("\\mathbf") || rest.starts_with("\\bm") || rest.starts_with("\\boldsymbol") ||
               rest.starts_with("\\vec") || rest.starts_with("\\overrightarrow");
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
        if (is_unit_letter(content)) return words(content.substr(content.find_first_not_of("~ ")));
        if (holds_words(content)) {
            space_ = true;
            for (const char c : content) budget_.spend(is_space(c) ? 0 : 1);
            return text_content(content);
        }
        Tokenizer(content, comma_, budget_, tokens_, depth_ + 1).run();
    }

    /// \mathrm{~m} behind a quantity; \text{C} alone is a choice, \mathrm{e} a number.
    [[nodiscard]] bool is_unit_letter(std::string_view content) const {
        while (!content.empty() && (content.front() == '~' || is_space(content.front()))) content.remove_prefix(1);
        if (const std::size_t power = content.find('^'); power != std::string_view::npos && power + 2 == content.size())
            content = content.substr(0, power);  // m/s^2
        if (content.empty() || content.size() > 3 || content.size() % 2 == 0) return false;
        for (std::size_t i = 0; i < content.size(); ++i)
            if (std::string_view(i % 2 == 0 ? "mgshlLNJWVAK" : "/").find(content[i]) == std::string_view::npos)
                return false;
        return !tokens_.empty() && (tokens_.back().kind == TokenKind::number || tokens_.back().is("}") ||
                                    tokens_.back().is(")") || tokens_.back().is("deg"));
    }

    /// \text{HTH} is HTH; four letters are a word.
    static bool is_capitals(std::string_view content) {
        return (content.size() == 2 || content.size() == 3) &&
               std::all_of(content.begin(), content.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    }

    static bool holds_words(std::string_view content) {
        for (std::size_t i = 0; i + 1 < content.size(); ++i) {
            if (content[i] == '\\') return false;
            if (is_letter(content[i]) && (is_letter(content[i + 1]) || content[i + 1] == '.')) return true;
            if (is_wide(content[i])) return true;
        }
        return false;
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

/// JSON written twice leaves "\\frac": take one backslash away before commands, unless "\\" may end a matrix row.
std::string single_backslashes(std::string_view text) {
    const bool everywhere = text.find("\\\\begin") != std::string_view::npos;
    if (text.find("\\\\") == std::string_view::npos) return std::string(text);
    if (!everywhere && text.find("\\begin") != std::string_view::npos) return std::string(text);
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool pair = text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '\\';
        const bool command = pair && i + 2 < text.size() && !is_space(text[i + 2]) && text[i + 2] != '\\';
        if (pair && (everywhere || command)) ++i;
        out += text[i];
    }
    return out;
}

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
