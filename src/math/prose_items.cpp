// Formulas, numbers and plain mathematics in a text, in their order.
#include "prose_items.hpp"

#include <algorithm>

#include "extract_parts.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxGroup = 300;

/// Full-width digits, letters and signs, the root, pi, minus, times and the like.
bool is_wide_mathematics(std::string_view chunk, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return at + i < chunk.size() ? static_cast<unsigned char>(chunk[at + i]) : 0U;
    };
    if (byte(0) == 0xEF && (byte(1) == 0xBC || byte(1) == 0xBD)) {
        const bool punctuation = byte(1) == 0xBC && (byte(2) == 0x8C || byte(2) == 0x9A || byte(2) == 0x9B ||
                                                     byte(2) == 0x9F || byte(2) == 0x81);
        return !punctuation;
    }
    if (byte(0) == 0xE2)
        return (byte(1) >= 0x86 && byte(1) <= 0x8B) || (byte(1) == 0x80 && byte(2) >= 0x90 && byte(2) <= 0x95);
    return byte(0) == 0xC2 || byte(0) == 0xC3 || byte(0) == 0xCF || byte(0) == 0xCE;
}

/// A word without spaces: mathematics, or only its leading number, or nothing of the kind.
struct Chunk {
    std::size_t begin, end;
    bool mathematics = false;
    bool letters_only = false;  ///< "x": belongs to a formula only beside an operator
    bool ends = false;          ///< a comma or full stop follows: nothing is joined to it
};

/// Letters of a run in a chunk: a single variable, a command or a function.
bool is_mathematical_word(std::string_view chunk, std::size_t begin, std::size_t end) {
    if (begin > 0 && chunk[begin - 1] == '\\') return true;
    const std::string word = lower(chunk.substr(begin, end - begin));
    return word.size() == 1 || word == "pi" || !find_function(word).empty();
}

/// The brace that closes the one at `at`, within a bounded distance; npos if there is none.
std::size_t matching_brace(std::string_view text, std::size_t at) {
    int depth = 0;
    for (std::size_t i = at; i < text.size() && i < at + kMaxGroup; ++i) {
        depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
        if (depth == 0) return i;
    }
    return std::string_view::npos;
}

/// Whether \text or the like stands before the (closed) brace at `at`.
bool after_text_command(std::string_view chunk, std::size_t at) {
    std::size_t begin = at;
    while (begin > 0 && is_letter(chunk[begin - 1])) --begin;
    return begin > 0 && chunk[begin - 1] == '\\' && matching_brace(chunk, at) != std::string_view::npos &&
           find_command(chunk.substr(begin, at - begin)).use == Command::Use::text_group;
}

std::size_t length_of_number(std::string_view chunk) {
    std::size_t i = 0;
    while (i < chunk.size() && (chunk[i] == '$' || chunk[i] == '-' || chunk[i] == '\\')) ++i;
    const std::size_t digits = i;
    while (i < chunk.size() && (is_digit(chunk[i]) || ((chunk[i] == '.' || chunk[i] == ',') && i + 1 < chunk.size() &&
                                                       is_digit(chunk[i + 1]))))
        ++i;
    return i > digits ? i : 0;
}

/// A chunk between white space, cut at words of wide characters.
void classify(std::string_view text, std::size_t begin, std::size_t end, std::vector<Chunk>& chunks) {
    constexpr std::string_view kOpening = "*_`\"'", kClosing = "*_`\"'.,;:?";
    const bool product = end - begin == 1 && text[begin] == '*';
    while (!product && begin < end && kOpening.find(text[begin]) != std::string_view::npos) ++begin;
    if (starts(text, begin, "\\boxed{") && matching_brace(text, begin + 6) == std::string_view::npos) begin += 7;
    bool ends = false;
    while (!product && begin < end && kClosing.find(text[end - 1]) != std::string_view::npos) {
        ends = ends || text[end - 1] == '.' || text[end - 1] == ',' || text[end - 1] == ';' || text[end - 1] == ':';
        --end;
    }
    if (begin == end) return chunks.push_back({begin, begin, false, false, true});
    const std::string_view chunk = text.substr(begin, end - begin);
    bool mathematics = true, letters_only = true;
    for (std::size_t i = 0; i < chunk.size() && mathematics;) {
        if (chunk[i] == '{' && after_text_command(chunk, i)) {
            i = matching_brace(chunk, i) + 1;
            letters_only = false;
            continue;
        }
        if (is_letter(chunk[i])) {
            std::size_t stop = i;
            while (stop < chunk.size() && is_letter(chunk[stop])) ++stop;
            mathematics = is_mathematical_word(chunk, i, stop);
            i = stop;
            continue;
        }
        if (is_wide(chunk[i])) {
            mathematics = is_wide_mathematics(chunk, i);
            letters_only = false;
            while (++i < chunk.size() && (static_cast<unsigned char>(chunk[i]) & 0xC0U) == 0x80U) continue;
            continue;
        }
        letters_only = false;
        mathematics = std::string_view("@#\"").find(chunk[i]) == std::string_view::npos;
        ++i;
    }
    if (mathematics) return chunks.push_back({begin, end, true, letters_only, ends});
    const std::size_t number = length_of_number(chunk);
    const std::string_view rest = chunk.substr(number);
    const bool ordinal =
        rest.starts_with("th") || rest.starts_with("st") || rest.starts_with("nd") || rest.starts_with("rd");
    const bool unit = number > 0 &&
                      std::all_of(rest.begin(), rest.end(), [](char c) { return is_letter(c) || c == '/'; }) &&
                      !ordinal;  // 18km
    chunks.push_back({begin, unit ? begin + number : end, unit, false, true});
}

/// Chunks of a part of the text that holds no formulas.
std::vector<Chunk> chunks_of(std::string_view text, std::size_t from, std::size_t to) {
    std::vector<Chunk> chunks;
    std::size_t begin = from;
    const auto flush = [&](std::size_t end) {
        if (begin < end) classify(text, begin, end, chunks);
    };
    for (std::size_t i = from; i < to;) {
        if (text[i] == '{') {
            const std::size_t close = matching_brace(text.substr(0, to), i);
            i = close == std::string_view::npos ? i + 1 : close;  // spaces in groups don't end a chunk
        } else if (is_space(text[i])) {
            flush(i);
            begin = ++i;
        } else if (is_wide(text[i]) && !is_wide_mathematics(text, i)) {
            flush(i);
            chunks.push_back({i, i, false, false, true});
            while (++i < to && (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) continue;
            begin = i;
        } else {
            const bool wide = is_wide(text[i]);
            ++i;
            while (wide && i < to && (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) ++i;
        }
    }
    flush(to);
    return chunks;
}

bool touches_operator(std::string_view text, const Chunk& chunk, bool before) {
    return chunk.mathematics && chunk.begin < chunk.end &&
           is_operator(before ? text[chunk.end - 1] : text[chunk.begin]);
}

bool holds_value(std::string_view run) {
    for (std::size_t i = 0; i < run.size(); ++i) {
        const bool sign = (static_cast<unsigned char>(run[i]) & 0xC0U) == 0xC0U && run.substr(i, 2) != "\xE2\x80";
        if (is_digit(run[i]) || sign || (run[i] == '\\' && i + 1 < run.size() && is_letter(run[i + 1]))) return true;
    }
    return false;
}

void add_runs(std::string_view text, std::size_t from, std::size_t to, std::vector<Item>& items) {
    const std::vector<Chunk> chunks = chunks_of(text, from, to);
    const auto belongs = [&](std::size_t i) {
        if (!chunks[i].mathematics) return false;
        if (!chunks[i].letters_only) return true;
        const auto number = [&](std::size_t k) { return chunks[k].mathematics && is_digit(text[chunks[k].begin]); };
        if (i > 0 && i + 1 < chunks.size() && text[chunks[i].begin] == 'x' && number(i - 1) && number(i + 1))
            return true;
        return (i > 0 && !chunks[i - 1].ends && touches_operator(text, chunks[i - 1], true)) ||
               (i + 1 < chunks.size() && !chunks[i].ends && touches_operator(text, chunks[i + 1], false));
    };
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        if (!belongs(i)) continue;
        const std::size_t first = i;
        while (!chunks[i].ends && i + 1 < chunks.size() && belongs(i + 1)) ++i;
        const std::string_view run = text.substr(chunks[first].begin, chunks[i].end - chunks[first].begin);
        if (holds_value(run)) items.push_back({chunks[first].begin, chunks[i].end, std::string(run), false});
    }
}

/// "9 * 2 = 18" says 18; "x = 18" keeps its name.
void take_last_side(Item& item) {
    const std::size_t sign = item.text.rfind('=');
    if (item.formula || sign == std::string::npos || sign == 0) return;
    const std::string_view left = std::string_view(item.text).substr(0, sign);
    if (std::any_of(left.begin(), left.end(), [](char c) { return is_letter(c) || is_wide(c); })) return;
    item.text = trimmed(std::string_view(item.text).substr(sign + 1));
}

/// "f(x)" is what is talked about, not a value.
bool is_function_alone(std::string_view formula) {
    return formula.size() >= 4 && is_letter(formula[0]) && formula[1] == '(' && formula.back() == ')' &&
           std::all_of(formula.begin() + 2, formula.end() - 1, [](char c) { return is_letter(c) || c == ','; });
}

}  // namespace

std::vector<Item> items_of(std::string_view text) {
    std::vector<Item> items;
    std::size_t at = 0;
    for (const Formula& formula : find_formulas(text)) {
        add_runs(text, at, formula.begin, items);
        if (!is_letter_alone(formula) && !is_function_alone(formula.content))
            items.push_back({formula.begin, formula.end, std::string(formula.content), true});
        at = formula.end;
    }
    add_runs(text, at, text.size(), items);
    std::for_each(items.begin(), items.end(), take_last_side);
    std::erase_if(items, [](const Item& item) { return trimmed(item.text).empty(); });
    return items;
}

}  // namespace tdrm::math
