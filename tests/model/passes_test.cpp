// Models for passes alone: what they compute, read back and hold.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {
namespace {

ModelSpec spec_of(int width) {
    ModelSpec spec;
    spec.vocab = 50;
    spec.layers = 3;
    spec.width = width;
    spec.heads = 4;
    spec.kv_heads = 2;
    spec.ffn = width + 7;
    spec.tied = false;
    return spec.resolved();
}

std::vector<float> weights_of(const ModelSpec& spec, std::uint64_t seed) {
    std::vector<float> weights(static_cast<std::size_t>(Layout(spec).size));
    initial_weights(spec, seed, [&](std::int64_t first, std::span<const float> values) {
        std::copy(values.begin(), values.end(), weights.begin() + first);
    });
    return weights;
}

/// In pieces that end anywhere.
void write_in_pieces(Model& model, std::span<const float> weights, std::size_t piece) {
    for (std::size_t first = 0; first < weights.size(); first += piece)
        model.write(static_cast<std::int64_t>(first), weights.subspan(first, std::min(piece, weights.size() - first)));
}

/// Log-probs of all next tokens of one sequence.
std::vector<float> logprobs(const Model& model) {
    constexpr int kTokens = 23;
    Random random(random_key(2, "tokens"));
    std::vector<std::int32_t> tokens, rows, targets;
    for (int t = 0; t < kTokens; ++t) {
        tokens.push_back(static_cast<std::int32_t>(random.next_below(50)));
        rows.push_back(t);
        targets.push_back(static_cast<std::int32_t>(random.next_below(50)));
    }
    Forest forest;
    forest.add(tokens);
    Workspace work;
    Transformer transformer(model);
    std::vector<float> logp(kTokens), entropy(kTokens);
    token_logprobs(model, transformer.forward(forest, rows, work, false), targets, 1, logp.data(), entropy.data(),
                   work);
    return logp;
}

bool in_a_layer(const TensorInfo& tensor) { return tensor.name.starts_with("model.layers.") && !tensor.is_vector(); }

class PassesAlone : public testing::TestWithParam<Products> {
protected:
    void SetUp() override {
        if (GetParam() == Products::bf16 && ops::bf16_unit() == ops::Bf16Unit::none)
            GTEST_SKIP() << "this processor has neither AMX nor AVX512-BF16";
    }
};

TEST_P(PassesAlone, ComputeTheBitsOfAModelForTraining) {
    const auto spec = spec_of(48);
    const auto weights = weights_of(spec, 3);
    Model trains(spec, GetParam()), passes(spec, GetParam(), Use::passes);
    write_in_pieces(trains, weights, 997);
    write_in_pieces(passes, weights, 997);
    EXPECT_EQ(logprobs(trains), logprobs(passes));
}

TEST_P(PassesAlone, ReadBackWhatProductsAreComputedWith) {
    const auto spec = spec_of(48);
    const auto weights = weights_of(spec, 3);
    Model passes(spec, GetParam(), Use::passes);
    write_in_pieces(passes, weights, 1234);
    std::vector<float> back(weights.size());
    for (std::size_t first = 0; first < back.size(); first += 331)
        passes.read(static_cast<std::int64_t>(first),
                    std::span(back).subspan(first, std::min<std::size_t>(331, back.size() - first)));
    for (const TensorInfo& tensor : passes.layout().tensors)
        for (auto i = static_cast<std::size_t>(tensor.offset);
             i < static_cast<std::size_t>(tensor.offset + tensor.size()); ++i) {
            const bool rounded = GetParam() == Products::bf16 && in_a_layer(tensor);
            ASSERT_EQ(back[i], rounded ? to_float(to_bfloat16(weights[i])) : weights[i]) << tensor.name << ' ' << i;
        }
}

TEST_P(PassesAlone, TakeNewWeightsAtAnyTimeAndInPart) {
    const auto spec = spec_of(48);
    auto weights = weights_of(spec, 3);
    Model trains(spec, GetParam()), passes(spec, GetParam(), Use::passes);
    EXPECT_EQ(logprobs(trains), logprobs(passes));  // of zeros
    write_in_pieces(passes, weights, 5000);
    (void)logprobs(passes);
    const auto other = weights_of(spec, 4);
    const auto first = static_cast<std::size_t>(passes.layout().layers[1].gate_up.weight) + 100;
    std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(first), 500,
                weights.begin() + static_cast<std::ptrdiff_t>(first));
    passes.write(static_cast<std::int64_t>(first), std::span(weights).subspan(first, 500));
    write_in_pieces(trains, weights, 5000);
    EXPECT_EQ(logprobs(trains), logprobs(passes));
}

TEST_P(PassesAlone, HoldMatricesOnce) {
    const auto spec = spec_of(512);
    Model passes(spec, GetParam(), Use::passes);
    write_in_pieces(passes, weights_of(spec, 3), 1 << 16);
    constexpr std::size_t kPage = 4096;
    const auto begin = reinterpret_cast<std::uintptr_t>(passes.at(0)) / kPage * kPage;
    const auto n = static_cast<std::size_t>(passes.num_parameters()) * sizeof(float) / kPage;
    std::vector<unsigned char> resident(n);
    ASSERT_EQ(0, mincore(reinterpret_cast<void*>(begin), n * kPage, resident.data()));
    double flat = 0;
    for (const unsigned char page : resident) flat += (page & 1U) * kPage;
    const ModelBytes said = model_bytes(spec, GetParam(), Use::passes);
    EXPECT_LE(flat, said.parameters + 30 * kPage);  // a page at either end of what lies between matrices
    EXPECT_LT(said.parameters + said.packed,
              (GetParam() == Products::bf16 ? 0.6 : 1.15) * 4 * 1.0 * static_cast<double>(passes.num_parameters()));
}

TEST_P(PassesAlone, DontLearn) {
    Model passes(spec_of(48), GetParam(), Use::passes);
    EXPECT_THROW((void)passes.values(), BugError);
}

INSTANTIATE_TEST_SUITE_P(Products, PassesAlone, testing::Values(Products::fp32, Products::bf16),
                         [](const auto& given) { return given.param == Products::fp32 ? "Fp32" : "Bf16"; });

}  // namespace
}  // namespace tdrm::model
