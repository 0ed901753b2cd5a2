#include "tdrm/task/text/translation.hpp"

#include "tdrm/base/json_rows.hpp"

namespace tdrm::task {

AnswerIds Translation::answer(TokenSpan ids, std::span<const std::int32_t> ends) const {
    const text::Tokenizer& to = to_.tokenizer();
    AnswerIds result;
    std::int32_t begin = 0;
    for (const std::int32_t end : ends) {
        const TokenSpan piece = ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
        std::string text = begin == 0 ? from_->decode(piece, true) : from_->decode_behind(piece);
        if (trims_) text = rows::trimmed(text);
        const Tokens again = begin == 0 ? to.encode(text) : to.encode_behind(text);
        result.ids.insert(result.ids.end(), again.begin(), again.end());
        result.ends.push_back(static_cast<std::int32_t>(result.ids.size()));
        begin = end;
    }
    return result;
}

}  // namespace tdrm::task
