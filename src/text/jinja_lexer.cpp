#include "jinja_lexer.hpp"

#include <algorithm>
#include <cctype>

#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

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
        tokens_.push_back({Token::Kind::end, "", {}});
        return std::move(tokens_);
    }

private:
    [[nodiscard]] bool ahead(std::string_view text) const {
        return std::string_view(in_).substr(at_).starts_with(text);
    }

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
        if (strip_next_) text.erase(0, std::min(text.find_first_not_of(" \t\n\r\f\v"), text.size()));
        if (open < in_.size() && sign == '-') {
            text.erase(text.find_last_not_of(" \t\n\r\f\v") + 1);
        } else if (block && sign != '+') {
            const std::size_t newline = text.rfind('\n');
            const std::size_t line = newline == std::string::npos ? 0 : newline + 1;
            const bool line_start = newline != std::string::npos || line_starting_;
            if (line_start && text.find_first_not_of(" \t", line) == std::string::npos) text.erase(line);
        }
        if (!text.empty()) tokens_.push_back({Token::Kind::text, std::move(text), {}});
    }

    void read_tag() {
        const char kind = in_[at_ + 1];
        at_ += 2;
        if (at_ < in_.size() && (in_[at_] == '-' || in_[at_] == '+')) ++at_;
        if (kind == '#') {
            const std::size_t close = in_.find("#}", at_);
            if (close == std::string::npos) fail("an unclosed comment");
            at_ = close;
            finish_tag(in_[close - 1], true);
            return;
        }
        tokens_.push_back({kind == '{' ? Token::Kind::open_output : Token::Kind::open_block, "", {}});
        const std::string_view close = kind == '{' ? "}}" : "%}";
        int depth = 0;
        while (true) {
            while (at_ < in_.size() && std::isspace(static_cast<unsigned char>(in_[at_])) != 0) ++at_;
            if (at_ >= in_.size()) fail("an unclosed tag");
            const bool sign = (in_[at_] == '-' || in_[at_] == '+') && in_.compare(at_ + 1, 2, close) == 0;
            if (sign || (depth == 0 && ahead(close))) {
                const char mark = sign ? in_[at_] : ' ';
                if (sign) ++at_;
                tokens_.push_back({Token::Kind::close, "", {}});
                finish_tag(mark, kind == '%');
                return;
            }
            read_token();
            const std::string& text = tokens_.back().text;
            if (tokens_.back().kind == Token::Kind::symbol) depth += text == "{" ? 1 : text == "}" ? -1 : 0;
        }
    }

    /// Behind a tag: `-` takes all white space, else a block takes one newline.
    void finish_tag(char sign, bool block) {
        at_ += 2;
        strip_next_ = sign == '-';
        line_starting_ = false;
        if (!strip_next_ && block && sign != '+' && at_ < in_.size() && in_[at_] == '\n') {
            ++at_;
            line_starting_ = true;
        }
    }

    void read_token() {
        const char c = in_[at_];
        if (c == '\'' || c == '"') return read_string(c);
        if (std::isdigit(static_cast<unsigned char>(c)) != 0) return read_number();
        if (std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_') {
            const std::size_t begin = at_;
            while (at_ < in_.size() && (std::isalnum(static_cast<unsigned char>(in_[at_])) != 0 || in_[at_] == '_'))
                ++at_;
            tokens_.push_back({Token::Kind::name, in_.substr(begin, at_ - begin), {}});
            return;
        }
        for (const std::string_view symbol : {"==", "!=", "<=", ">=", "//", "**"}) {
            if (ahead(symbol)) return add_symbol(symbol);
        }
        if (std::string_view("+-*/%~=<>()[]{}.,:|").find(c) == std::string_view::npos)
            fail(cat("the character \"", c, "\""));
        add_symbol(std::string_view(in_).substr(at_, 1));
    }
    void add_symbol(std::string_view symbol) {
        tokens_.push_back({Token::Kind::symbol, std::string(symbol), {}});
        at_ += symbol.size();
    }

    void read_number() {
        const std::size_t begin = at_;
        while (at_ < in_.size() && std::isdigit(static_cast<unsigned char>(in_[at_])) != 0) ++at_;
        bool real = false;
        if (at_ + 1 < in_.size() && in_[at_] == '.' && std::isdigit(static_cast<unsigned char>(in_[at_ + 1])) != 0) {
            real = true;
            for (++at_; at_ < in_.size() && std::isdigit(static_cast<unsigned char>(in_[at_])) != 0;) ++at_;
        }
        const std::string digits = in_.substr(begin, at_ - begin);
        if (digits.size() > 15) fail("a number of more than 15 digits");
        tokens_.push_back({Token::Kind::literal, "", real ? Value(std::stod(digits)) : Value(std::stoll(digits))});
    }

    void read_string(char quote) {
        std::string text;
        for (++at_; at_ < in_.size() && in_[at_] != quote;) {
            if (in_[at_] != '\\' || at_ + 1 >= in_.size()) {
                text += in_[at_++];
                continue;
            }
            read_escape(text);
        }
        if (at_ >= in_.size()) fail("an unclosed string");
        ++at_;
        tokens_.push_back({Token::Kind::literal, "", text});
    }

    void read_escape(std::string& text) {
        const char c = in_[at_ + 1];
        at_ += 2;
        constexpr std::string_view kNames = "ntr\\'\"";
        constexpr std::string_view kMeanings = "\n\t\r\\'\"";
        if (const auto i = kNames.find(c); i != std::string_view::npos) {
            text += kMeanings[i];
        } else if (c == 'u' || c == 'x') {
            const std::size_t width = c == 'u' ? 4 : 2;
            const std::string digits = in_.substr(at_, width);
            if (digits.size() < width || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
                fail(cat("the escape \\", c, digits));
            }
            append_utf8(text, static_cast<char32_t>(std::stoul(digits, nullptr, 16)));
            at_ += width;
        } else if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
            fail(cat("the escape \\", c));
        } else {
            text += '\\';
            text += c;
        }
    }

    std::string in_;
    std::size_t at_ = 0;
    bool strip_next_ = false;    ///< the last tag ended with "-"
    bool line_starting_ = true;  ///< the text begins a line
    std::vector<Token> tokens_;
};

/// Jinja reads all line ends as \n and drops the last one.
std::string read_lines(std::string_view source) {
    std::string text;
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
        text += source[i] == '\r' ? '\n' : source[i];
    }
    if (text.ends_with('\n')) text.pop_back();
    return text;
}

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(read_lines(source)).run(); }

}  // namespace tdrm::text::jinja
