// Regular expressions of tokenizer files (Oniguruma, Ruby syntax) on PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tdrm::text {

/// A compiled expression. Matching isn't thread-safe (it owns its match data).
class Regex {
public:
    /// Translates and compiles an Oniguruma pattern. @throws DataError naming what isn't supported.
    explicit Regex(std::string_view pattern);
    /// An expression that matches exactly `text`.
    [[nodiscard]] static Regex literal(std::string_view text);
    Regex(Regex&&) noexcept;
    ~Regex();

    struct Match {
        std::size_t begin, end;
    };
    /// The leftmost match that begins at or after `from`, in valid UTF-8.
    [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from) const;

private:
    struct Compiled;
    explicit Regex(std::unique_ptr<Compiled> compiled);
    std::unique_ptr<Compiled> compiled_;
};

/// The pattern in PCRE2's notation, with the character classes that Oniguruma has.
[[nodiscard]] std::string translate_pattern(std::string_view pattern);

/// Calls `visit(begin, end, is_match)` for all matches and the gaps between them, in order. An empty match cuts the
/// text and is itself passed on; one that follows right after a match is skipped.
template <class Visit>
void for_each_match(const Regex& regex, std::string_view text, Visit&& visit) {
    std::size_t previous = 0;
    std::size_t from = 0;
    std::optional<std::size_t> last_end;
    while (from <= text.size()) {
        const auto match = regex.find(text, from);
        if (!match) break;
        if (match->begin == match->end && last_end == match->end) {
            ++from;
            while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
            continue;
        }
        if (previous != match->begin) visit(previous, match->begin, false);
        visit(match->begin, match->end, true);
        previous = from = match->end;
        last_end = match->end;
    }
    if (previous != text.size()) visit(previous, text.size(), false);
}

}  // namespace tdrm::text
