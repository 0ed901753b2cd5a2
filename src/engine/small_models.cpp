#include "small_models.hpp"

#include <cmath>
#include <numeric>

#include "tdrm/base/bfloat16.hpp"

namespace tdrm::engine {

model::ModelSpec small_model(model::Family family, model::Head head) {
    model::ModelSpec spec;
    spec.vocab = 61;
    spec.layers = 2;
    spec.width = 64;
    spec.heads = 4;
    spec.kv_heads = 2;
    spec.head_dim = 16;
    spec.ffn = 96;
    spec.head = head;
    spec.family = family;
    spec.qkv_bias = family != model::Family::llama;
    spec.output_bias = family == model::Family::llama;
    spec.tied = family == model::Family::qwen2;
    const model::FamilyRow& row = row_of(family);
    if (row.partial_rotary > 0) spec.rotary_dim = 8;
    if (row.windows != model::WindowRule::none) spec.window = 29;
    if (row.windows != model::WindowRule::all) spec.global_layers = {1};
    if (row.unrotated_layers) spec.unrotated_layers = {1};
    if (row.layer_ropes) spec.local_rope_theta = 1000;
    if (row.scaled_embedding) spec.embedding_scale = 8;
    model::RopeScaling& rope = spec.rope_scaling;
    switch (family) {
        case model::Family::granite:
            spec.embedding_scale = 6;
            spec.residual_scale = 0.3;
            spec.logit_divisor = 2;
            spec.attention_scale = 0.1;
            break;
        case model::Family::ministral3:
            rope.kind = model::RopeKind::yarn;
            rope.factor = 4;
            rope.original_positions = 32;
            rope.magnitude = 1.1;
            spec.query_growth = 0.1;
            break;
        case model::Family::phi3:
            rope.kind = model::RopeKind::longrope;
            rope.original_positions = 24;
            rope.magnitude = 1.2;
            rope.short_factors = {1, 1.1, 1.2, 1.3};
            rope.long_factors = {1, 2, 3, 4};
            break;
        case model::Family::smollm3:
            rope.kind = model::RopeKind::dynamic;
            rope.factor = 2;
            rope.original_positions = 80;
            break;
        default:
            break;
    }
    return spec.resolved();
}

void write_random_weights(Engine& engine, std::uint64_t seed, float spread) {
    Random random(random_key(seed, "vectors"));
    model::initial_weights(engine.spec(), seed, [&](std::int64_t first, std::span<const float> values) {
        std::vector<float> moved(values.begin(), values.end());
        for (float& value : moved)
            value = to_float(to_bfloat16(value + spread * static_cast<float>(random.next_normal())));
        engine.write(Array::weights, first, moved);
    });
}

std::vector<std::int32_t> random_tokens(Random& random, std::size_t n, int vocab) {
    std::vector<std::int32_t> tokens(n);
    for (auto& token : tokens) token = static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(vocab)));
    return tokens;
}

model::Forest bushy_forest(int vocab, std::uint64_t seed) {
    Random random(random_key(seed, "forest"));
    model::Forest forest;
    const auto tokens = [&](std::size_t n) { return random_tokens(random, n, vocab); };
    const int prompt = forest.add(tokens(21));
    for (const std::size_t length : {5UL, 70UL, 18UL}) {
        const int answer = forest.add(tokens(length), prompt);
        for (const int cut : {2, static_cast<int>(length)}) forest.add(tokens(2), answer, cut);
    }
    const int deep = forest.add(tokens(4), 2, 1);
    forest.add(tokens(3), deep, 0);
    forest.add(tokens(9));
    return forest;
}

std::vector<std::int32_t> all_rows(const model::Forest& forest) {
    std::vector<std::int32_t> rows(static_cast<std::size_t>(forest.num_tokens()));
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

double rms(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i] - b[i]), 2);
    return std::sqrt(sum / static_cast<double>(a.size()));
}

double cosine(std::span<const float> a, std::span<const float> b) {
    double product = 0, left = 0, right = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        product += x * y;
        left += x * x;
        right += y * y;
    }
    return left == 0 && right == 0 ? 1 : product / std::sqrt(left * right);
}

namespace {

double norm(std::span<const float> a) {
    double sum = 0;
    for (const float x : a) sum += static_cast<double>(x) * static_cast<double>(x);
    return std::sqrt(sum);
}

}  // namespace

WorstTensor worst_tensor(const model::Layout& layout, std::span<const float> found, std::span<const float> expected) {
    constexpr double kRounding = 1e-6;
    const double whole = norm(expected);
    WorstTensor worst;
    for (const auto& tensor : layout.tensors) {
        const auto begin = static_cast<std::size_t>(tensor.offset), size = static_cast<std::size_t>(tensor.size());
        const auto of_tensor = expected.subspan(begin, size);
        if (norm(of_tensor) < kRounding * whole) continue;
        const double found_cosine = cosine(found.subspan(begin, size), of_tensor);
        if (found_cosine < worst.cosine) worst = {found_cosine, tensor.name};
    }
    return worst;
}

}  // namespace tdrm::engine
