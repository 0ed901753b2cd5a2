// Where a reward model says the value of a state, and how.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm::model {

class Model;
struct ValueHead;

/// Where tags stand: a leaf is seen by its own state only, a tag of the trunk by the later steps too.
enum class TagPlace { leaf, trunk };
[[nodiscard]] constexpr auto enum_names(TagPlace) {
    return std::array<std::pair<TagPlace, std::string_view>, 2>{{{TagPlace::leaf, "leaf"}, {TagPlace::trunk, "trunk"}}};
}

/// Tokens behind a state, at whose last one the value is read off the hidden state, as a logit.
///
/// | model, and the code that this form follows | tag | place | logit |
/// | tdrm, and transformers' sequence classification | the task's probe | leaf | head score |
/// | TRL, PRMTrainer.tokenize_row | separator | trunk | z1 - z0 of score |
/// | Qwen2.5-Math-PRM, modeling_qwen2_rm.py | <extra_0> | trunk | z1 - z0 of score.0, ReLU, score.2 |
/// | Skywork-o1-Open-PRM, skywork-o1-prm-inference | line end | trunk | v_head.summary |
/// | OpenRLHF, get_llm_for_sequence_regression | end token | leaf | value_head or score |
/// | heads of bins | any | any | log(p / (1 - p)) of the expected value p |
/// | Math-Shepherd | step tag | trunk | logit of + minus logit of - |
/// | RLHFlow, math-rm/prm_evaluate.py | end of the user's turn, start of the assistant's | trunk, and then the tail: +,
/// end, start of the user's turn | the same |
struct ReadOut {
    std::vector<std::int32_t> tag;   ///< at least one token
    std::vector<std::int32_t> tail;  ///< between the tag and the next step, in the trunk
    TagPlace place = TagPlace::leaf;
    std::int32_t positive = -1;  ///< tokens of the language head whose logits are compared; -1: the value head
    std::int32_t negative = -1;
    std::vector<double> bins = {};  ///< value in [0, 1] of each label of the value head; empty: those of its folder

    [[nodiscard]] bool reads_language_head() const { return positive >= 0; }
};

/// Value logits of rows of hidden states, as Transformer::forward returned them.
void read_values(const Model& model, const ReadOut& read_out, const float* hidden_RD, int rows, float* logits);

/// The logit of the expected value p = sum_k softmax(z)_k b_k, log(p / (1 - p)), without overflow; with bins {0, 1} it
/// is z1 - z0. @param bins in [0, 1], as many as z; they aren't all 0 and not all 1
[[nodiscard]] double head_logit(std::span<const double> z, std::span<const double> bins);

/// The logit of a value head that says z: of one label (z - mean) / std, of several head_logit.
[[nodiscard]] double head_value(const ValueHead& head, std::span<const double> z, std::span<const double> bins);

/// Value logits_R of the value head: of one label (z - mean) / std, z = hidden . weight + bias; of several head_logit.
/// @param bins for several labels, in place of those that the head brings; empty: these
void value_logits(const Model& model, const float* hidden_RD, int rows, float* logits,
                  std::span<const double> bins = {});
/// Writes d_hidden_RD and adds the value head's gradient, given d loss / d logit of each row. Only for one label
/// without bias or hidden layer, the head that tdrm trains.
void value_backward(const Model& model, const float* hidden_RD, std::span<const float> d_logits, float* d_hidden_RD,
                    float* gradient);

}  // namespace tdrm::model
