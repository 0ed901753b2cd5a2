// Operations that treat each row by itself.
#include <cmath>
#include <cstring>

#include "simd.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::model::ops {

using namespace simd;

void embed(float* x, const float* embedding, std::span<const std::int32_t> tokens, int width) {
    const auto row = static_cast<std::size_t>(width);
    for (std::size_t t = 0; t < tokens.size(); ++t)
        std::memcpy(x + t * row, embedding + static_cast<std::size_t>(tokens[t]) * row, row * sizeof(float));
}

void embed_backward(float* embedding_grad, const float* dx, std::span<const std::int32_t> tokens, int width) {
    const auto row = static_cast<std::size_t>(width);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        float* grad = embedding_grad + static_cast<std::size_t>(tokens[t]) * row;
        for (std::size_t i = 0; i < row; ++i) grad[i] += dx[t * row + i];
    }
}

void rms_norm(float* y, float* rstd, const float* x, const float* w, int rows, int width, float eps, float add) {
    for (int t = 0; t < rows; ++t, x += width, y += width) {
        Vec squares{};
        for (int i = 0; i < width; i += kLanes) {
            const Vec v = load_some(x + i, width - i);
            squares += v * v;
        }
        const float scale = 1.0F / std::sqrt(sum(squares) / static_cast<float>(width) + eps);
        for (int i = 0; i < width; i += kLanes)
            store_some(y + i, load_some(x + i, width - i) * scale * (load_some(w + i, width - i) + add), width - i);
        if (rstd != nullptr) rstd[t] = scale;
    }
}

void rms_norm_again(float* y, const float* x, const float* rstd, const float* w, int rows, int width, float add) {
    for (int t = 0; t < rows; ++t, x += width, y += width)
        for (int i = 0; i < width; i += kLanes)
            store_some(y + i, load_some(x + i, width - i) * rstd[t] * (load_some(w + i, width - i) + add), width - i);
}

void rms_norm_backward(float* dx, float* dw, const float* dy, const float* x, const float* rstd, const float* w,
                       int rows, int width, float add) {
    // With n = x * rstd, w meaning w + add: dx = rstd * (dy w - n * mean(dy w n)).
    for (int t = 0; t < rows; ++t, dx += width, dy += width, x += width) {
        Vec products{};
        for (int i = 0; i < width; i += kLanes) {
            const int left = width - i;
            const Vec normed = load_some(x + i, left) * rstd[t];
            const Vec g = load_some(dy + i, left);
            products += g * (load_some(w + i, left) + add) * normed;
            store_some(dw + i, load_some(dw + i, left) + g * normed, left);
        }
        const float mean = sum(products) / static_cast<float>(width);
        for (int i = 0; i < width; i += kLanes) {
            const int left = width - i;
            const Vec normed = load_some(x + i, left) * rstd[t];
            const Vec inner = load_some(dy + i, left) * (load_some(w + i, left) + add) - normed * mean;
            store_some(dx + i, load_some(dx + i, left) + inner * rstd[t], left);
        }
    }
}

void add(float* y, const float* x, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) y[i] += x[i];
}

void scale(float* y, float factor, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) y[i] *= factor;
}

void add_bias(float* y, const float* bias, int rows, int width) {
    for (int t = 0; t < rows; ++t, y += width) add(y, bias, static_cast<std::size_t>(width));
}

void add_bias_backward(float* db, const float* dy, int rows, int width) {
    for (int t = 0; t < rows; ++t, dy += width) add(db, dy, static_cast<std::size_t>(width));
}

namespace {

/// x sigmoid(x) at one x.
struct Silu {
    Vec x, s;
    explicit Silu(const Vec& at) : x(at), s(sigmoid(at)) {}
    [[nodiscard]] Vec value() const { return x * s; }
    [[nodiscard]] Vec times_value(const Vec& g) const { return g * x * s; }
    [[nodiscard]] Vec times_derivative(const Vec& g) const { return g * s * (1.0F + x * (1.0F - s)); }
};

/// x (1 + tanh u) / 2 = x sigmoid(2u) with u = sqrt(2 / pi) (x + 0.044715 x^3).
struct GeluTanh {
    static constexpr float kTwice = 1.5957691216057308F;  ///< 2 sqrt(2 / pi)
    static constexpr float kCubic = 0.044715F;
    Vec x, s;
    explicit GeluTanh(const Vec& at) : x(at), s(sigmoid(kTwice * (at + kCubic * at * at * at))) {}
    [[nodiscard]] Vec value() const { return x * s; }
    [[nodiscard]] Vec times_value(const Vec& g) const { return g * x * s; }
    [[nodiscard]] Vec times_derivative(const Vec& g) const {
        return g * s * (1.0F + x * (1.0F - s) * (kTwice * (1.0F + 3.0F * kCubic * x * x)));
    }
};

template <class Function>
void gate_rows(float* h, const float* gate_up, int rows, int inner) {
    for (int t = 0; t < rows; ++t, h += inner, gate_up += 2 * inner)
        for (int i = 0; i < inner; i += kLanes) {
            const int left = inner - i;
            const Function at(load_some(gate_up + i, left));
            store_some(h + i, at.value() * load_some(gate_up + inner + i, left), left);
        }
}

template <class Function>
void gate_rows_backward(float* gate_up, const float* dh, int rows, int inner) {
    for (int t = 0; t < rows; ++t, dh += inner, gate_up += 2 * inner)
        for (int i = 0; i < inner; i += kLanes) {
            const int left = inner - i;
            const Function at(load_some(gate_up + i, left));
            const Vec up = load_some(gate_up + inner + i, left);
            const Vec g = load_some(dh + i, left);
            store_some(gate_up + i, at.times_derivative(g * up), left);
            store_some(gate_up + inner + i, at.times_value(g), left);
        }
}

}  // namespace

void gate(float* h, const float* gate_up, int rows, int inner, Activation activation) {
    if (activation == Activation::silu) return gate_rows<Silu>(h, gate_up, rows, inner);
    gate_rows<GeluTanh>(h, gate_up, rows, inner);
}

void gate_backward(float* gate_up, const float* dh, int rows, int inner, Activation activation) {
    if (activation == Activation::silu) return gate_rows_backward<Silu>(gate_up, dh, rows, inner);
    gate_rows_backward<GeluTanh>(gate_up, dh, rows, inner);
}

void RotaryTable::grow(int num_positions) {
    if (num_positions <= num_positions_) return;
    num_positions_ = (num_positions + 255) / 256 * 256;
    float* c = cos_.resize(row(num_positions_));
    float* s = sin_.resize(row(num_positions_));
    for (int p = 0; p < num_positions_; ++p)
        for (const double frequency : frequencies_) {
            const double angle = p * frequency;
            *c++ = magnitude_ * static_cast<float>(std::cos(angle));
            *s++ = magnitude_ * static_cast<float>(std::sin(angle));
        }
}

namespace {

/// One head: pairs (i, i + half).
void rotate_halves(float* x, const float* c, const float* s, int half, float sign) {
    float* second = x + half;
    for (int i = 0; i < half; i += kLanes) {
        const int left = half - i;
        const Vec a = load_some(x + i, left);
        const Vec b = load_some(second + i, left);
        const Vec cosine = load_some(c + i, left);
        const Vec sine = load_some(s + i, left) * sign;
        store_some(x + i, a * cosine - b * sine, left);
        store_some(second + i, b * cosine + a * sine, left);
    }
}

/// One head: pairs (2i, 2i + 1).
void rotate_neighbours(float* x, const float* c, const float* s, int pairs, float sign) {
    for (int i = 0; i < pairs; ++i) {
        const float a = x[2 * i];
        const float b = x[2 * i + 1];
        const float sine = s[i] * sign;
        x[2 * i] = a * c[i] - b * sine;
        x[2 * i + 1] = b * c[i] + a * sine;
    }
}

}  // namespace

void rotate(float* x, const RotaryTable& table, std::span<const std::int32_t> positions, int num_heads, int head_dim,
            int stride, int direction) {
    const int pairs = table.num_pairs();
    const auto sign = static_cast<float>(direction);
    for (std::size_t t = 0; t < positions.size(); ++t, x += stride) {
        const float* c = table.cosine(positions[t]);
        const float* s = table.sine(positions[t]);
        for (int h = 0; h < num_heads; ++h) {
            if (table.interleaved()) {
                rotate_neighbours(x + h * head_dim, c, s, pairs, sign);
            } else {
                rotate_halves(x + h * head_dim, c, s, pairs, sign);
            }
        }
    }
}

namespace {

/// Softmax of one row: calls body(i, e, z) for each sixteen z = (logits - top) * inverse and e = exp(z), 0 behind the
/// row's end. @return top and the sum of e
template <class Body>
std::pair<float, float> softmax(const float* logits, int vocab, float inverse, Body&& body) {
    const auto load_padded = [&](int i, float padding) {
        Vec v = load_some(logits + i, vocab - i);
        for (int j = vocab - i; j < kLanes; ++j) v[j] = padding;
        return v;
    };
    Vec highest = broadcast(-3.0e38F);
    for (int i = 0; i < vocab; i += kLanes) highest = max(highest, load_padded(i, -3.0e38F));
    const float top = max(highest);
    Vec total{};
    for (int i = 0; i < vocab; i += kLanes) {
        Vec z = (load_some(logits + i, vocab - i) - top) * inverse;
        for (int j = vocab - i; j < kLanes; ++j) z[j] = -100.0F;
        const Vec e = exp(z);
        total += e;
        body(i, e, z);
    }
    return {top, sum(total)};
}

}  // namespace

void log_softmax(float* logp, float* entropy, const float* logits, std::span<const std::int32_t> targets, int vocab,
                 float temperature) {
    const float inverse = 1.0F / temperature;
    for (std::size_t t = 0; t < targets.size(); ++t, logits += vocab) {
        Vec weighted{};
        const auto [top, mass] =
            softmax(logits, vocab, inverse, [&](int, const Vec& e, const Vec& z) { weighted += e * z; });
        const float log_mass = std::log(mass);
        logp[t] = (logits[targets[t]] - top) * inverse - log_mass;
        entropy[t] = log_mass - sum(weighted) / mass;
    }
}

TokenWeights token_weights(float* weights, const float* logits, int vocab, float temperature) {
    const float inverse = 1.0F / temperature;
    const auto [top, mass] = softmax(logits, vocab, inverse,
                                     [&](int i, const Vec& e, const Vec&) { store_some(weights + i, e, vocab - i); });
    return {top, mass, std::log(mass), inverse};
}

void log_softmax_backward(float* logits, const float* logp, const float* coefficient,
                          std::span<const std::int32_t> targets, int vocab, float temperature) {
    const float inverse = 1.0F / temperature;
    for (std::size_t t = 0; t < targets.size(); ++t, logits += vocab) {
        const float log_total = logits[targets[t]] * inverse - logp[t];
        const float scale = -coefficient[t] * inverse;
        for (int i = 0; i < vocab; i += kLanes) {
            const int left = vocab - i;
            store_some(logits + i, exp(load_some(logits + i, left) * inverse - log_total) * scale, left);
        }
        logits[targets[t]] -= scale;
    }
}

}  // namespace tdrm::model::ops
