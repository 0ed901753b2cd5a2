#include "jinja_lexer.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "python_text.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// What may stand in a name: Python's \w.
bool is_name_character(char32_t code) {
    return code < 0x80 ? (std::isalnum(static_cast<unsigned char>(code)) != 0 || code == '_') : is_word_character(code);
}

/// Cuts a template into texts and the tokens of its tags, with Jinja's rules for white space.
class Lexer {
public:
    explicit Lexer(std::string source) : in_(std::move(source)) {}

    std::vector<Token> run() {
        while (at_ < in_.size()) {
            const std::size_t open = find_open();
            add_text(in_.substr(at_, open - at_), open);
            if (open == in_.size()) break;
            at_ = open;
            read_tag();
        }
        tokens_.push_back({Token::Kind::end, ""});
        return std::move(tokens_);
    }

private:
    [[nodiscard]] bool ahead(std::string_view text) const { return rest().starts_with(text); }
    [[nodiscard]] std::string_view rest() const { return std::string_view(in_).substr(at_); }

    [[nodiscard]] std::size_t find_open() const {
        for (std::size_t i = at_; i + 1 < in_.size(); ++i) {
            if (in_[i] == '{' && (in_[i + 1] == '{' || in_[i + 1] == '%' || in_[i + 1] == '#')) return i;
        }
        return in_.size();
    }

    /// `open` is where the following tag begins.
    void add_text(std::string text, std::size_t open) {
        const char sign = open + 2 < in_.size() ? in_[open + 2] : ' ';
        const bool block = open < in_.size() && in_[open + 1] != '{';
        if (open < in_.size() && sign == '-') {
            text.resize(python::strip(text, false, true).size());
        } else if (block && sign != '+') {
            const std::size_t newline = text.rfind('\n');
            const std::size_t line = newline == std::string::npos ? 0 : newline + 1;
            const bool line_start = newline != std::string::npos || line_starting_;
            if (line_start && python::strip(std::string_view(text).substr(line), true, false).empty()) text.erase(line);
        }
        if (!text.empty()) tokens_.push_back({Token::Kind::text, std::move(text)});
    }

    void read_tag() {
        const char kind = in_[at_ + 1];
        at_ += 2;
        if (at_ < in_.size() && (in_[at_] == '-' || in_[at_] == '+')) ++at_;
        if (kind == '#') {
            const std::size_t close = in_.find("#}", at_);
            if (close == std::string::npos) refuse("an unclosed comment");
            at_ = close;
            finish_tag(in_[close - 1], true);
            return;
        }
        if (kind == '%' && read_raw()) return;
        tokens_.push_back({kind == '{' ? Token::Kind::open_output : Token::Kind::open_block, ""});
        const std::string_view close = kind == '{' ? "}}" : "%}";
        int depth = 0;
        while (true) {
            skip_space();
            if (at_ >= in_.size()) refuse("an unclosed tag");
            const bool signable = in_[at_] == '-' || (in_[at_] == '+' && kind == '%');
            const bool sign = signable && in_.compare(at_ + 1, 2, close) == 0;
            if (depth <= 0 && (sign || ahead(close))) {
                const char mark = sign ? in_[at_] : ' ';
                if (sign) ++at_;
                tokens_.push_back({Token::Kind::close, ""});
                finish_tag(mark, kind == '%');
                return;
            }
            read_token();
            if (tokens_.back().kind != Token::Kind::symbol) continue;
            const std::string& text = tokens_.back().text;
            depth += text == "{" || text == "(" || text == "[" ? 1 : text == "}" || text == ")" || text == "]" ? -1 : 0;
        }
    }

    void skip_space() {
        while (at_ < in_.size() && python::is_space(code_point_at(in_, at_))) at_ += utf8_length(in_[at_]);
    }

    /// "raw %}" and what it holds, up to endraw.
    bool read_raw() {
        const std::size_t start = at_;
        skip_space();
        const bool named = ahead("raw") && (at_ += 3, true);
        if (named) skip_space();
        const bool strips = named && ahead("-%}");
        if (!named || !(strips || ahead("%}"))) {
            at_ = start;
            return false;
        }
        at_ += strips ? 3 : 2;
        std::size_t open = at_;
        for (; (open = in_.find("{%", open)) != std::string::npos; ++open) {
            std::size_t at = open + 2;
            if (at < in_.size() && (in_[at] == '-' || in_[at] == '+')) ++at;
            const std::string_view tag = python::strip(std::string_view(in_).substr(at), true, false);
            if (!tag.starts_with("endraw")) continue;
            const std::string_view after = python::strip(tag.substr(6), true, false);
            const bool sign = after.starts_with("-%}") || after.starts_with("+%}");
            if (!sign && !after.starts_with("%}")) continue;
            std::string text = in_.substr(at_, open - at_);
            if (strips) text = std::string(python::strip(text, true, false));
            line_starting_ = false;
            add_text(std::move(text), open);
            at_ = static_cast<std::size_t>(after.data() - in_.data()) + (sign ? 1 : 0);
            finish_tag(sign ? after[0] : ' ', true);
            return true;
        }
        refuse("an unclosed raw block");
    }

    /// Behind a tag: `-` takes all white space, else a block takes one newline.
    void finish_tag(char sign, bool block) {
        at_ += 2;
        line_starting_ = false;
        if (sign == '-') {
            skip_space();
        } else if (block && sign != '+' && at_ < in_.size() && in_[at_] == '\n') {
            ++at_;
            line_starting_ = true;
        }
    }

    void read_token() {
        const char c = in_[at_];
        if (c == '\'' || c == '"') return read_string(c);
        if (is_digit(c)) return read_number();
        std::size_t end = at_;
        while (end < in_.size() && is_name_character(code_point_at(in_, end))) end += utf8_length(in_[end]);
        if (end > at_) {
            tokens_.push_back({Token::Kind::name, in_.substr(at_, end - at_)});
            at_ = end;
            return;
        }
        for (const std::string_view symbol : {"==", "!=", "<=", ">=", "//", "**"}) {
            if (ahead(symbol)) return add_symbol(symbol);
        }
        if (std::string_view("+-*/%~=<>()[]{}.,:|;").find(c) == std::string_view::npos)
            refuse(cat("the character \"", rest().substr(0, utf8_length(c)), "\" in a tag"));
        add_symbol(rest().substr(0, 1));
    }
    void add_symbol(std::string_view symbol) {
        tokens_.push_back({Token::Kind::symbol, std::string(symbol)});
        at_ += symbol.size();
    }

    [[nodiscard]] std::string read_digits() {
        std::string digits;
        while (at_ < in_.size() &&
               (is_digit(in_[at_]) || (in_[at_] == '_' && at_ + 1 < in_.size() && is_digit(in_[at_ + 1])))) {
            if (in_[at_] != '_') digits += in_[at_];
            ++at_;
        }
        return digits;
    }

    /// Behind a point (x.0.1) a number has no fraction.
    void read_number() {
        const bool part = !tokens_.empty() && tokens_.back().kind == Token::Kind::symbol && tokens_.back().text == ".";
        if (in_[at_] == '0' && at_ + 1 < in_.size() &&
            std::string_view("xXoObB").find(in_[at_ + 1]) != std::string_view::npos) {
            const char base = static_cast<char>(in_[at_ + 1] | 0x20);
            return read_based(base == 'x' ? 16 : base == 'o' ? 8 : 2);
        }
        std::string digits = read_digits();
        const auto digit_at = [&](std::size_t at) { return at < in_.size() && is_digit(in_[at]); };
        bool real = false;
        if (!part && ahead(".") && digit_at(at_ + 1)) {
            ++at_;
            digits += '.' + read_digits();
            real = true;
        }
        if (!part && (ahead("e") || ahead("E"))) {
            const std::size_t sign = at_ + 1 < in_.size() && (in_[at_ + 1] == '-' || in_[at_ + 1] == '+') ? 1 : 0;
            if (digit_at(at_ + 1 + sign)) {
                digits += in_.substr(at_, 1 + sign);
                at_ += 1 + sign;
                digits += read_digits();
                real = true;
            }
        }
        if (real)
            tokens_.push_back({Token::Kind::literal, "", Value(std::strtod(digits.c_str(), nullptr))});
        else
            add_whole(digits, 10);
    }
    void read_based(int base) {
        at_ += 2;
        std::string digits;
        for (; at_ < in_.size() && (std::isalnum(static_cast<unsigned char>(in_[at_])) != 0 || in_[at_] == '_'); ++at_)
            if (in_[at_] != '_') digits += in_[at_];
        add_whole(digits, base);
    }
    void add_whole(const std::string& digits, int base) {
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
        if (error == std::errc::result_out_of_range) {
            tokens_.push_back({Token::Kind::unknown, "a whole number of more than 63 bits"});
        } else if (error != std::errc() || end != digits.data() + digits.size()) {
            refuse(cat("the number ", digits.substr(0, 40)));
        } else {
            tokens_.push_back({Token::Kind::literal, "", Value(number)});
        }
    }

    void read_string(char quote) {
        std::string text;
        std::string strange;  // an escape that can't be written as UTF-8: an error only if the text is used
        for (++at_; at_ < in_.size() && in_[at_] != quote;) {
            if (in_[at_] != '\\' || at_ + 1 >= in_.size()) {
                text += in_[at_++];
            } else {
                read_escape(text, strange);
            }
        }
        if (at_ >= in_.size()) refuse("an unclosed string");
        ++at_;
        if (!strange.empty())
            tokens_.push_back({Token::Kind::unknown, "the escape " + strange});
        else
            tokens_.push_back({Token::Kind::literal, "", Value(std::move(text))});
    }

    /// As Python's unicode-escape; what it doesn't know stays as it is.
    void read_escape(std::string& text, std::string& strange) {
        const char c = in_[at_ + 1];
        at_ += 2;
        constexpr std::string_view kNames = "ntr\\'\"abfv";
        constexpr std::string_view kMeanings = "\n\t\r\\'\"\a\b\f\v";
        if (const auto i = kNames.find(c); i != std::string_view::npos) {
            text += kMeanings[i];
        } else if (c >= '0' && c <= '7') {
            unsigned code = static_cast<unsigned>(c - '0');
            for (int more = 0; more < 2 && at_ < in_.size() && in_[at_] >= '0' && in_[at_] <= '7'; ++more)
                code = code * 8 + static_cast<unsigned>(in_[at_++] - '0');
            append_utf8(text, code);
        } else if (c == 'u' || c == 'x' || c == 'U') {
            const std::size_t width = c == 'u' ? 4 : c == 'x' ? 2 : 8;
            const std::string digits = in_.substr(at_, width);
            if (digits.size() < width || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
                refuse(cat("the escape \\", std::string(1, c)));
            const auto code = static_cast<char32_t>(std::stoul(digits, nullptr, 16));
            if (code > 0x10FFFF) refuse(cat("the escape \\", std::string(1, c), digits));
            if (code >= 0xD800 && code < 0xE000)
                strange = cat("\\", std::string(1, c), digits);
            else
                append_utf8(text, code);
            at_ += width;
        } else if (c == 'N') {
            strange = "\\N";
        } else if (c != '\n') {
            text += '\\';
            text += c;  // the first byte; others follow as they are
        }
    }

    std::string in_;
    std::size_t at_ = 0;
    bool line_starting_ = true;  ///< the text begins a line
    std::vector<Token> tokens_;
};

/// Jinja reads all line ends as \n and drops the last one.
std::string read_lines(std::string_view source) {
    std::string text;
    text.reserve(source.size());
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
        text += source[i] == '\r' ? '\n' : source[i];
    }
    if (text.ends_with('\n')) text.pop_back();
    return text;
}

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
    constexpr std::size_t kMostSource = 4 << 20;
    if (source.size() > kMostSource) refuse("a source of more than 4 MiB, which is no real template");
    if (const auto at = find_invalid_utf8(source)) refuse(cat("its source isn't valid UTF-8 at byte ", *at));
    return Lexer(read_lines(source)).run();
}

}  // namespace tdrm::text::jinja
