// A model in memory: its parameters, what they are at the start, and how much room it and its passes take.
#include <algorithm>
#include <array>
#include <cmath>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {
namespace {

/// What a model for passes holds in packed form alone.
std::array<const Linear*, 4> matrices_of(const Layer& layer) {
    return {&layer.qkv, &layer.output, &layer.gate_up, &layer.down};
}

}  // namespace

Model::Model(const ModelSpec& spec, Products products, Use use)
    : products_(products), use_(use), spec_(spec), layout_(spec) {
    ensure(products == Products::fp32 || ops::bf16_unit() != ops::Bf16Unit::none, "something multiplies bf16 numbers");
    values_.resize(static_cast<std::size_t>(layout_.size));
    values_.give_back(0, values_.size());
    if (use == Use::training) return;
    for (const Layer& layer : layout_.layers)
        for (const Linear* linear : matrices_of(layer)) held_[linear->weight] = {linear->outputs, linear->inputs};
}

void initial_weights(const ModelSpec& spec, std::uint64_t seed, const WeightSink& sink) {
    std::vector<float> values;
    for (const TensorInfo& tensor : Layout(spec).tensors) {
        const auto n = static_cast<std::size_t>(tensor.size());
        if (tensor.name.starts_with("score.") || tensor.name.ends_with(".bias")) {
            values.assign(n, 0.0F);
        } else if (tensor.is_vector()) {
            values.assign(n, spec.features().norms_add_one ? 0.0F : 1.0F);
        } else {
            // Token vectors that are large beside what the layers add stay readable in every layer, so that tokens can
            // be compared: value models and policies learn such comparisons several times as fast.
            const bool embeds = tensor.name == "model.embed_tokens.weight";
            const double spread =
                embeds && !spec.tied ? 1.0 : 1.0 / std::sqrt(3.0 * static_cast<double>(tensor.shape[1]));
            Random random(random_key(seed, tensor.name));
            values.resize(n);
            for (float& value : values) value = static_cast<float>(spread * random.next_normal());
        }
        sink(tensor.offset, values);
    }
}

template <class Body>
void Model::for_held(std::int64_t from, std::size_t n, Body&& body) const {
    const std::int64_t to = from + static_cast<std::int64_t>(n);
    auto held = held_.upper_bound(from);
    if (held != held_.begin()) --held;
    for (; held != held_.end() && held->first < to; ++held) {
        const std::int64_t first = std::max(from, held->first);
        const std::int64_t end = std::min(to, held->first + held->second.size());
        if (first < end) body(held->first, held->second, first, end);
    }
}

void Model::write(std::int64_t first, std::span<const float> values) {
    for_held(first, values.size(), [&](std::int64_t offset, Held& held, std::int64_t, std::int64_t) {
        if (held.packed) unpack(offset, held);
    });
    std::copy(values.begin(), values.end(), values_.data() + first);
    ++version_;
    for_held(first, values.size(), [&](std::int64_t offset, Held& held, std::int64_t from, std::int64_t end) {
        held.written += end - from;
        if (held.written >= held.size()) hold_packed(offset, held);
    });
}

void Model::read(std::int64_t first, std::span<float> out) const {
    std::copy_n(values_.data() + first, out.size(), out.begin());
    std::vector<float> whole;
    for_held(first, out.size(), [&](std::int64_t offset, const Held& held, std::int64_t from, std::int64_t end) {
        if (!held.packed) return;
        whole.resize(static_cast<std::size_t>(held.inputs));
        for (std::int64_t at = from; at < end;) {
            const std::int64_t number = (at - offset) / held.inputs, begin = offset + number * held.inputs;
            const std::int64_t last = std::min(end, begin + held.inputs);
            row(offset, static_cast<int>(number), whole);
            std::copy(whole.begin() + (at - begin), whole.begin() + (last - begin), out.begin() + (at - first));
            at = last;
        }
    });
}

WeightSink Model::sink() {
    return [this](std::int64_t first, std::span<const float> values) { write(first, values); };
}

std::span<float> Model::values() {
    ensure(use_ == Use::training, "a model for passes is written piece by piece");
    ++version_;
    return {values_.data(), values_.size()};
}

std::span<const float> Model::values() const {
    ensure(use_ == Use::training, "a model for passes is read piece by piece");
    return {values_.data(), values_.size()};
}

void Model::row(std::int64_t offset, int row, std::span<float> to) const {
    const Packed& packed = packed_.at({offset, Turned::no});
    products_ == Products::fp32 ? packed.matrix.row(row, to) : packed.rounded.row(row, to);
}

void Model::hold_packed(std::int64_t offset, Held& held) const {
    pack(packed_[{offset, Turned::no}], offset, held.outputs, held.inputs, Turned::no);
    values_.give_back(static_cast<std::size_t>(offset), static_cast<std::size_t>(held.size()));
    held.packed = true;
    held.written = 0;
}

void Model::unpack(std::int64_t offset, Held& held) {
    for (int r = 0; r < held.outputs; ++r)
        row(offset, r,
            {values_.data() + offset + std::int64_t{r} * held.inputs, static_cast<std::size_t>(held.inputs)});
    held.packed = false;
}

void Model::pack(Packed& packed, std::int64_t offset, int outputs, int inputs, Turned turned) const {
    if (products_ == Products::fp32) {
        packed.matrix.pack(at(offset), outputs, inputs);
    } else if (turned == Turned::no) {
        packed.rounded.pack(at(offset), outputs, inputs);
    } else {
        packed.rounded.pack_transposed(at(offset), outputs, inputs);
    }
    packed.version = version_;
}

const Model::Packed& Model::packed(std::int64_t offset, int outputs, int inputs, Turned turned) const {
    Packed& packed = packed_[{offset, turned}];
    if (const auto held = held_.find(offset); held != held_.end()) {
        ensure(turned == Turned::no, "a model for passes doesn't learn");
        if (!held->second.packed) hold_packed(offset, held->second);
    } else if (packed.version != version_) {
        pack(packed, offset, outputs, inputs, turned);
    }
    return packed;
}

void Model::multiply(float* y, const float* x, std::int64_t offset, int outputs, int inputs, int rows,
                     float beta) const {
    const Packed& w = packed(offset, outputs, inputs, Turned::no);
    if (products_ == Products::fp32) return ops::gemm_nt(y, x, w.matrix, rows, beta);
    ops::multiply_bf16(y, x, w.rounded, rows, beta, ops::bf16_unit());
}

void Model::multiply_back(float* dx, const float* dy, std::int64_t offset, int outputs, int inputs, int rows) const {
    if (products_ == Products::fp32) return ops::gemm_nn(dx, dy, at(offset), rows, outputs, inputs);
    ops::multiply_bf16(dx, dy, packed(offset, outputs, inputs, Turned::yes).rounded, rows, 0, ops::bf16_unit());
}

void Model::add_gradient(float* gradient, const float* dy, const float* x, std::int64_t offset, int outputs, int inputs,
                         int rows) const {
    if (products_ == Products::fp32) return ops::gemm_tn(gradient + offset, dy, x, rows, outputs, inputs);
    ops::multiply_transposed_bf16(gradient + offset, dy, x, rows, outputs, inputs, ops::bf16_unit());
}

ModelBytes model_bytes(const ModelSpec& s, Products products, Use use) {
    const bool trains = use == Use::training;
    const auto packed = [&](int rows, int columns) {
        if (products == Products::fp32) return ops::PackedMatrix::bytes(rows, columns);
        return ops::Bf16Matrix::bytes(rows, columns) + (trains ? ops::Bf16Matrix::bytes(columns, rows) : 0);
    };
    const Layout layout(s);
    ModelBytes bytes{static_cast<double>(layout.size), 0};
    for (const Layer& layer : layout.layers)
        for (const Linear* linear : matrices_of(layer)) {
            bytes.packed += packed(linear->outputs, linear->inputs);
            if (!trains) bytes.parameters -= 1.0 * linear->outputs * linear->inputs;
        }
    bytes.parameters *= sizeof(float);
    if (s.head == Head::language) bytes.packed += packed(s.vocab, s.width);
    if (s.head == Head::value && s.value_head.hidden) bytes.packed += packed(s.width, s.width);
    return bytes;
}

double workspace_bytes(const ModelSpec& s, double tokens, double rows, bool for_backward) {
    const NormNames& norms = s.features().norms;
    const bool norms_behind = !norms.after_attention.empty();
    const bool scaled = s.residual_scale != 1;
    const double block = norms_behind ? 2.0 * s.width + 2 : scaled ? 2.0 * s.width : 0;  // attended, fed, their rstd
    const double normed_heads = s.features().qk_norm == QkNorm::none ? 0 : s.heads + s.kv_heads;  // their rstd
    // Of a layer: qkv, mixed, gate_up, lse and the rstd of two norms; the residual stream before and in the middle.
    const double layer = s.qkv_width() + s.query_width() + 2.0 * s.ffn + s.heads + 2 + block + normed_heads;
    const double kept = layer + 2.0 * s.width + normed_heads * s.head_dim;
    const double shared = 2.0 * s.width + s.ffn;                                                   // x, normed, inner
    const double backward = (2.0 + (norms_behind ? 1 : 0) + (scaled ? 1 : 0)) * s.width + s.ffn +  // dx, d_block, ...
                            s.qkv_width() + s.query_width();                                       // d_qkv, d_mixed
    const double of_token = shared + (for_backward ? s.layers * kept + backward : layer);
    const double of_row = (for_backward ? 4.0 : 2.0) * s.width + 1;  // top_rows, top; d_rows, d_hidden
    return (tokens * of_token + rows * of_row) * sizeof(float);
}

}  // namespace tdrm::model
