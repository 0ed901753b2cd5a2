#include "tdrm/task/translation.hpp"

namespace tdrm::task {

AnswerIds Translation::answer(TokenSpan ids, std::span<const std::int32_t> ends) const {
    const text::Tokenizer& tokenizer = from_->tokenizer();
    AnswerIds result;
    std::int32_t begin = 0;
    for (const std::int32_t end : ends) {
        const TokenSpan piece = ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
        const Tokens again =
            to_.encode_answer(begin == 0 ? tokenizer.decode(piece, true) : tokenizer.decode_behind(piece));
        result.ids.insert(result.ids.end(), again.begin(), again.end());
        result.ends.push_back(static_cast<std::int32_t>(result.ids.size()));
        begin = end;
    }
    return result;
}

}  // namespace tdrm::task
