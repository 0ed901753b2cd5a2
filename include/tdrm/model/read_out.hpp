// Where a reward model says the value of a state, and how.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm::model {

class Model;

/// Where tags stand: a leaf is seen by its own state only, a tag of the trunk by the later steps too.
enum class TagPlace { leaf, trunk };
[[nodiscard]] constexpr auto enum_names(TagPlace) {
    return std::array<std::pair<TagPlace, std::string_view>, 2>{{{TagPlace::leaf, "leaf"}, {TagPlace::trunk, "trunk"}}};
}

/// Tokens behind a state, at whose last one the value is read off the hidden state, as a logit.
///
/// | model | tag | place | logit |
/// | tdrm, and transformers' sequence classification | the task's probe | leaf | score.weight |
/// | TRL token classification | separator | trunk | z1 - z0 of score |
/// | Qwen2.5-Math-PRM | <extra_0> | trunk | z1 - z0 of score.0, ReLU, score.2 |
/// | Math-Shepherd | step tag | trunk | logit of + minus logit of - |
/// | RLHFlow | end of the user's turn, start of the assistant's | trunk, and then the tail: +, end, start of the user's
/// turn | the same |
struct ReadOut {
    std::vector<std::int32_t> tag;   ///< at least one token
    std::vector<std::int32_t> tail;  ///< between the tag and the next step, in the trunk
    TagPlace place = TagPlace::leaf;
    std::int32_t positive = -1;  ///< tokens of the language head whose logits are compared; -1: the value head
    std::int32_t negative = -1;

    [[nodiscard]] bool reads_language_head() const { return positive >= 0; }
};

/// Value logits of rows of hidden states, as Transformer::forward returned them.
void read_values(const Model& model, const ReadOut& read_out, const float* hidden_RD, int rows, float* logits);

}  // namespace tdrm::model
