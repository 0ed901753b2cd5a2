#include "tdrm/text/step_splitter.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::text {
namespace {

constexpr std::size_t kLongestMarker = 32;  ///< bytes

bool is_white(char byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

enum class Verdict { no, not_yet, yes };

/// Whether a line that begins with `line` begins with a marker:
/// blanks, # and *, "Step" or "step" with a blank, 1 to 3 digits, one of . ) :, then white space or *.
Verdict match_marker(std::string_view line) {
    std::size_t at = 0;
    const auto skip = [&](std::string_view set) {
        while (at < line.size() && set.find(line[at]) != std::string_view::npos) ++at;
    };
    skip(" \t#*");
    if (at == line.size()) return Verdict::not_yet;
    if (line[at] == 'S' || line[at] == 's') {
        const std::string_view rest = line.substr(at + 1);
        constexpr std::string_view kRest = "tep ";
        if (rest.size() < kRest.size()) return kRest.starts_with(rest) ? Verdict::not_yet : Verdict::no;
        if (!rest.starts_with(kRest)) return Verdict::no;
        at += 1 + kRest.size();
    }
    const std::size_t digits = at;
    skip("0123456789");
    if (at - digits > 3) return Verdict::no;
    if (at == line.size()) return Verdict::not_yet;
    if (at == digits || std::string_view(".):").find(line[at]) == std::string_view::npos) return Verdict::no;
    if (++at == line.size()) return Verdict::not_yet;
    return is_white(line[at]) || line[at] == '*' ? Verdict::yes : Verdict::no;
}

}  // namespace

StepDelimiter parse_step_delimiter(std::string_view name) {
    if (name == "blank_line") return StepDelimiter::blank_line;
    if (name == "newline") return StepDelimiter::newline;
    if (name == "numbered") return StepDelimiter::numbered;
    throw ConfigError(cat("the step delimiter \"", name, "\" isn't known (steps couldn't be found). ",
                          "Use blank_line, newline or numbered."));
}

StepSplitter::StepSplitter(const Tokenizer& tokenizer, const StepOptions& options)
    : tokenizer_(&tokenizer), options_(options) {
    if (options.max_step_tokens < 0 || options.max_steps < 0) {
        throw ConfigError(cat("max_step_tokens = ", options.max_step_tokens, " and max_steps = ", options.max_steps,
                              " mustn't be negative (they bound the steps). Use 0 for no bound."));
    }
}

bool StepSplitter::push(std::int32_t id) {
    const std::size_t before = ends_.size();
    ++position_;
    if (!tokenizer_->is_special(id)) {
        for (const char byte : tokenizer_->bytes_of(id)) take_byte(byte);
    }
    if (options_.max_step_tokens > 0 && position_ - last_end() >= options_.max_step_tokens) end_step(position_);
    return ends_.size() > before;
}

void StepSplitter::take_byte(char byte) {
    if (options_.delimiter == StepDelimiter::numbered) take_line_byte(byte);
    if (!is_white(byte)) content_ = position_;
    const bool completes = options_.delimiter == StepDelimiter::newline ||
                           (options_.delimiter == StepDelimiter::blank_line && previous_ == '\n');
    if (byte == '\n' && completes && content_ > last_end()) end_step(position_);
    previous_ = byte;
}

void StepSplitter::take_line_byte(char byte) {
    if (may_be_marker_) {
        line_ += byte;
        const Verdict verdict = match_marker(line_);
        may_be_marker_ = verdict == Verdict::not_yet && line_.size() < kLongestMarker;
        if (verdict == Verdict::yes && line_content_ > last_end()) end_step(line_position_);
    }
    if (byte == '\n') {
        may_be_marker_ = true;
        line_.clear();
        line_position_ = position_;
        line_content_ = content_;
    }
}

void StepSplitter::end_step(std::int32_t end) {
    const bool room = options_.max_steps == 0 || static_cast<std::int32_t>(ends_.size()) < options_.max_steps;
    if (room && end > last_end()) ends_.push_back(end);
}

std::vector<std::int32_t> split_steps(const Tokenizer& tokenizer, std::span<const std::int32_t> ids,
                                      const StepOptions& options) {
    StepSplitter splitter(tokenizer, options);
    for (const std::int32_t id : ids) splitter.push(id);
    return splitter.ends();
}

}  // namespace tdrm::text
