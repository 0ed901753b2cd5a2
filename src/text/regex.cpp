#include "regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>
#include <utility>
#include <vector>

#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text {
namespace {

/// Walks an Oniguruma pattern and writes the PCRE2 pattern that matches the same.
class Translator {
public:
    explicit Translator(std::string_view pattern) : in_(pattern) {}

    std::string translate() {
        while (at_ < in_.size()) step();
        return out_;
    }

private:
    [[noreturn]] void unsupported(std::string_view what) const {
        throw DataError(cat("the regular expression \"", in_, "\" uses ", what,
                            ", which tdrm doesn't translate (the token ids could differ silently). "
                            "Use a tokenizer.json without it."));
    }

    [[nodiscard]] bool ahead(std::string_view text) const { return in_.substr(at_).starts_with(text); }

    void step() {
        const char c = in_[at_];
        if (std::isalpha(static_cast<unsigned char>(c)) == 0) last_literal_ = 0;
        if (c == '\\') return begin_atom(), escape(false);
        if (c == '[') return begin_atom(), char_class();
        if (c == '(') return open_group();
        if (c == ')') return close_group();
        if (c == '{') return interval();
        if (c == '*' || c == '+' || c == '?') return quantifier();
        begin_atom();
        if (caseless_ > 0) check_caseless(std::exchange(last_literal_, c), c);
        copy(utf8_length(c));
    }

    void begin_atom() { atom_ = out_.size(); }

    /// Oniguruma lets some letters without case match several (sharp s for ss), PCRE2 doesn't.
    void check_caseless(char previous, char c) const {
        const auto lower = [](char letter) {
            return static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
        };
        const std::string pair{lower(previous), lower(c)};
        for (const std::string_view folded : {"ss", "st", "ff", "fi", "fl"}) {
            if (pair == folded) unsupported(cat("\"", folded, "\" without regard to case"));
        }
        if (static_cast<unsigned char>(c) >= 0x80) unsupported("a character beyond ASCII without regard to case");
    }
    void copy(std::size_t bytes) {
        out_ += in_.substr(at_, bytes);
        at_ += bytes;
    }

    void open_group() {
        starts_.push_back(out_.size());
        last_literal_ = 0;
        caseless_ += ahead("(?i:") || caseless_ > 0 ? 1 : 0;
        for (const std::string_view opening : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"}) {
            if (ahead(opening)) return copy(opening.size());
        }
        if (ahead("(?")) unsupported(cat("the group \"", in_.substr(at_, 4), "\""));
        copy(1);
    }
    void close_group() {
        if (starts_.empty()) unsupported("an unmatched \")\"");
        atom_ = starts_.back();
        starts_.pop_back();
        last_literal_ = 0;
        caseless_ -= caseless_ > 0 ? 1 : 0;
        copy(1);
    }

    /// x*, x+, x?, lazy and possessive forms mean the same in both.
    void quantifier() {
        copy(1);
        if (at_ < in_.size() && (in_[at_] == '?' || in_[at_] == '+')) copy(1);
    }

    /// x{n,m}: {,m} counts from 0, and a following + repeats the whole instead of making it possessive.
    void interval() {
        const std::size_t close = in_.find('}', at_);
        if (close == std::string_view::npos) unsupported("a \"{\" without \"}\"");
        std::string bounds(in_.substr(at_ + 1, close - at_ - 1));
        if (bounds.empty() || bounds.find_first_not_of("0123456789,") != std::string::npos) {
            unsupported(cat("\"{", bounds, "}\""));
        }
        if (bounds.front() == ',') bounds.insert(0, "0");
        out_ += "{" + bounds + "}";
        at_ = close + 1;
        if (at_ >= in_.size()) return;
        if (in_[at_] == '?' && bounds.find(',') == std::string::npos) unsupported("{n}?");
        if (in_[at_] == '?') return copy(1);
        if (in_[at_] == '+' || in_[at_] == '*') {
            out_.insert(atom_, "(?:");
            out_ += ")";
        }
    }

    void char_class() {
        copy(1);
        if (ahead("^")) copy(1);
        if (ahead("]")) unsupported("\"]\" first in a character class");
        while (!ahead("]")) {
            if (at_ >= in_.size()) unsupported("an unclosed character class");
            if (ahead("[")) unsupported("a character class inside another");
            if (ahead("&&")) unsupported("an intersection of character classes (&&)");
            if (in_[at_] == '\\') {
                escape(true);
            } else {
                copy(utf8_length(in_[at_]));
            }
        }
        copy(1);
    }

    void escape(bool in_class) {
        if (at_ + 1 >= in_.size()) unsupported("a \"\\\" at its end");
        const char c = in_[at_ + 1];
        if (c == 'p' || c == 'P') return property(in_class);
        if (c == 's' || c == 'd' || c == 'w')
            return named_class(c == 'd' ? "Nd" : std::string_view(&in_[at_ + 1], 1), false, in_class, 2);
        if (c == 'S' || c == 'D' || c == 'W') {
            const char lower = static_cast<char>(std::tolower(c));
            return named_class(c == 'D' ? "Nd" : std::string_view(&lower, 1), true, in_class, 2);
        }
        if (c == 'u' || c == 'x') return hexadecimal(c);
        if (c == 'v') {
            out_ += "\\x0b";
            at_ += 2;
            return;
        }
        const std::string_view same = in_class ? "rntfae" : "rntfaeAzZ";
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 && same.find(c) == std::string_view::npos) {
            unsupported(cat("\"\\", c, "\""));
        }
        copy(1);
        copy(utf8_length(in_[at_]));
    }

    /// \uHHHH, \xHH, \x{H...}
    void hexadecimal(char kind) {
        std::string_view digits;
        std::size_t width = 0;
        if (ahead("\\x{")) {
            const std::size_t close = in_.find('}', at_);
            digits = in_.substr(at_ + 3, close == std::string_view::npos ? 0 : close - at_ - 3);
            width = digits.size() + 4;
        } else {
            digits = in_.substr(at_ + 2, kind == 'u' ? 4 : 2);
            width = digits.size() + 2;
        }
        if (digits.empty() || (kind == 'u' && digits.size() < 4) ||
            digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
            unsupported(cat("\"", in_.substr(at_, 6), "\""));
        }
        out_ += cat("\\x{", digits, "}");
        at_ += width;
    }

    /// \p{X}, \p{^X}, \P{X}
    void property(bool in_class) {
        const std::size_t close = in_.find('}', at_);
        if (close == std::string_view::npos || in_[at_ + 2] != '{') unsupported("\\p without {...}");
        std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
        bool negated = in_[at_ + 1] == 'P';
        if (name.starts_with('^')) {
            negated = !negated;
            name.remove_prefix(1);
        }
        named_class(name, negated, in_class, close + 1 - at_);
    }

    void named_class(std::string_view name, bool negated, bool in_class, std::size_t width) {
        const std::string_view members = regex_class(name);
        if (members.empty()) unsupported(cat("the character class \"", in_.substr(at_, width), "\""));
        if (in_class && !negated) {
            out_ += members;
        } else if (!in_class) {
            out_ += cat(negated ? "[^" : "[", members, "]");
        } else if (name == "s") {
            out_ += "\\S\\x{180e}";  // PCRE2 takes U+180E for a space
        } else {
            unsupported(cat("the negated class \"", in_.substr(at_, width), "\" inside a character class"));
        }
        at_ += width;
    }

    std::string_view in_;
    std::string out_;
    std::size_t at_ = 0;
    std::size_t atom_ = 0;             ///< where the last atom begins in out_
    int caseless_ = 0;                 ///< open groups from the first (?i: on
    char last_literal_ = 0;            ///< in a caseless group
    std::vector<std::size_t> starts_;  ///< where the open groups begin in out_
};

constexpr std::size_t kJitStackMax = 16 << 20;

}  // namespace

struct Regex::Compiled {
    explicit Compiled(const std::string& pattern) {
        int error = 0;
        PCRE2_SIZE offset = 0;
        pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context);
        pcre2_compile_context_free(context);
        if (code == nullptr) {
            PCRE2_UCHAR message[200];
            pcre2_get_error_message(error, message, sizeof message);
            throw DataError(cat("the regular expression \"", pattern, "\" of the tokenizer can't be compiled: ",
                                reinterpret_cast<const char*>(message), " at ", offset, ". Check tokenizer.json."));
        }
        jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
        data = pcre2_match_data_create_from_pattern(code, nullptr);
        match_context = pcre2_match_context_create(nullptr);
        jit_stack = pcre2_jit_stack_create(64 << 10, kJitStackMax, nullptr);
        pcre2_jit_stack_assign(match_context, nullptr, jit_stack);
    }
    ~Compiled() {
        pcre2_jit_stack_free(jit_stack);
        pcre2_match_context_free(match_context);
        pcre2_match_data_free(data);
        pcre2_code_free(code);
    }
    Compiled(const Compiled&) = delete;
    Compiled& operator=(const Compiled&) = delete;

    pcre2_code* code = nullptr;
    pcre2_match_data* data = nullptr;
    pcre2_match_context* match_context = nullptr;
    pcre2_jit_stack* jit_stack = nullptr;
    bool jit = false;
};

Regex::Regex(std::string_view pattern) : compiled_(std::make_unique<Compiled>(translate_pattern(pattern))) {}
Regex::Regex(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex Regex::literal(std::string_view text) {
    std::string pattern;
    for (const char c : text) {
        if (std::ispunct(static_cast<unsigned char>(c)) != 0) pattern += '\\';
        pattern += c;
    }
    return Regex(std::make_unique<Compiled>(pattern));
}

std::optional<Regex::Match> Regex::find(std::string_view text, std::size_t from) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const auto match = compiled_->jit ? pcre2_jit_match : pcre2_match;
    const int found = match(compiled_->code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, compiled_->data,
                            compiled_->match_context);
    if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (found < 0) {
        throw DataError(cat("the tokenizer's regular expression gave up (PCRE2 error ", found, ") on a text of ",
                            text.size(), " bytes (it can't be encoded). Cut the text into shorter parts."));
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(compiled_->data);
    return Match{offsets[0], offsets[1]};
}

std::string translate_pattern(std::string_view pattern) { return Translator(pattern).translate(); }

}  // namespace tdrm::text
