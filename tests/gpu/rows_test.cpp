// Kernels on rows against plain loops in double.
#include <numbers>

#include "../../src/gpu/kernels.hpp"
#include "kernel_fixture.hpp"
#include "tdrm/gpu/gemm.hpp"

namespace tdrm::gpu {
namespace {

/// Rows and widths: one row, ragged counts, widths below and above what a warp or a block moves at once.
struct Size {
    int rows, width;
    [[nodiscard]] std::size_t area() const { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width); }
    [[nodiscard]] std::size_t at(int row, int column) const {
        return static_cast<std::size_t>(row) * static_cast<std::size_t>(width) + static_cast<std::size_t>(column);
    }
};
class Rows : public testing::TestWithParam<Size> {
protected:
    const Size size_ = GetParam();
    Numbers numbers_{static_cast<std::uint64_t>(size_.rows * 10007 + size_.width)};
    [[nodiscard]] std::size_t row_count() const { return static_cast<std::size_t>(size_.rows); }
    [[nodiscard]] std::size_t width() const { return static_cast<std::size_t>(size_.width); }
};
INSTANTIATE_TEST_SUITE_P(Sizes, Rows, testing::Values(Size{1, 8}, Size{67, 24}, Size{130, 264}, Size{5, 1544}));

TEST_P(Rows, AreGathered) {
    const auto x = numbers_.bf16s(size_.area());
    std::vector<std::int32_t> index(row_count() + 3);
    for (auto& i : index) i = numbers_.below(size_.rows);
    const auto y = under_all_schedules([&] {
        auto rows = poisoned<bf16>(index.size() * width());
        start(GatherRows{rows.data(), x.data(), index.data(), static_cast<int>(index.size()), size_.width}, nullptr);
        return rows;
    });
    auto scaled = poisoned<bf16>(index.size() * width());
    start(GatherRows{scaled.data(), x.data(), index.data(), static_cast<int>(index.size()), size_.width, 8}, nullptr);
    for (std::size_t r = 0; r < index.size(); ++r)
        for (int i = 0; i < size_.width; ++i) {
            const std::size_t at = r * width() + static_cast<std::size_t>(i);
            ASSERT_EQ(y[at].bits, x[size_.at(index[r], i)].bits);
            ASSERT_EQ(number(scaled[at]), 8 * number(y[at]));
        }
}

TEST_P(Rows, AreAddedUpInLists) {
    const auto x = numbers_.bf16s(size_.area());
    // Rows dealt to targets 1, 3, 4: some lists are long, one may be empty.
    const std::vector<std::int32_t> target{4, 1, 3};
    std::vector<std::vector<std::int32_t>> lists(3);
    for (int r = 0; r < size_.rows; ++r) lists[static_cast<std::size_t>(numbers_.below(3))].push_back(r);
    std::vector<std::int32_t> first{0}, rows;
    for (const auto& list : lists) {
        rows.insert(rows.end(), list.begin(), list.end());
        first.push_back(static_cast<std::int32_t>(rows.size()));
    }
    const RowLists of{target.data(), first.data(), rows.data(), 3};
    const auto y = under_all_schedules([&] {
        std::vector<bf16> sums(5 * width(), to_bf16(7));
        start(ScatterRows{sums.data(), x.data(), of, size_.width}, nullptr);
        return sums;
    });
    const auto gradient = under_all_schedules([&] {
        std::vector<float> sums(5 * width(), 0.5F);
        start(EmbedBackward{sums.data(), x.data(), of, size_.width, 2}, nullptr);
        return sums;
    });
    for (std::size_t l = 0; l < 3; ++l)
        for (int i = 0; i < size_.width; ++i) {
            double sum = 0;
            for (const std::int32_t r : lists[l]) sum += number(x[size_.at(r, i)]);
            const std::size_t at = size_.at(target[l], i);
            ASSERT_NEAR(number(y[at]), sum, kBf16Step * (std::abs(sum) + 0.01));
            ASSERT_NEAR(number(gradient[at]), 0.5 + 2 * sum, 2e-4);
        }
    EXPECT_EQ(number(y[0]), 7) << "rows without a list stay";
    EXPECT_EQ(gradient[2 * width()], 0.5F);
}

TEST_P(Rows, AreNormed) {
    const auto x = numbers_.bf16s(size_.area()), w = numbers_.bf16s(width()), residual = numbers_.bf16s(size_.area());
    std::vector<float> rstd(row_count());
    const auto y = under_all_schedules(
        [&] {
            auto normed = residual;
            start(
                RmsNorm{normed.data(), rstd.data(), x.data(), w.data(), normed.data(), size_.rows, size_.width, 1e-5F},
                nullptr);
            return normed;
        },
        rstd);
    auto plain = poisoned<bf16>(size_.area());
    start(RmsNorm{plain.data(), nullptr, x.data(), w.data(), nullptr, size_.rows, size_.width, 1e-5F}, nullptr);
    for (int r = 0; r < size_.rows; ++r) {
        double squares = 0;
        for (int i = 0; i < size_.width; ++i) squares += number(x[size_.at(r, i)]) * number(x[size_.at(r, i)]);
        const double expected = 1 / std::sqrt(squares / size_.width + 1e-5);
        ASSERT_NEAR(number(rstd[static_cast<std::size_t>(r)]), expected, 1e-6 * expected);
        for (int i = 0; i < size_.width; ++i) {
            const std::size_t at = size_.at(r, i);
            const double normed = number(x[at]) * expected * number(w[static_cast<std::size_t>(i)]);
            const double sum = normed + number(residual[at]);
            ASSERT_NEAR(number(plain[at]), normed, kBf16Step * (std::abs(normed) + 1e-4));
            ASSERT_NEAR(number(y[at]), sum, kBf16Step * (std::abs(sum) + 1e-4));
        }
    }
}

TEST_P(Rows, GradientsGoThroughTheNorm) {
    const auto x = numbers_.bf16s(size_.area()), w = numbers_.bf16s(width()), dy = numbers_.bf16s(size_.area()),
               residual = numbers_.bf16s(size_.area());
    auto normed = poisoned<bf16>(size_.area());
    std::vector<float> rstd(row_count());
    start(RmsNorm{normed.data(), rstd.data(), x.data(), w.data(), nullptr, size_.rows, size_.width, 1e-5F}, nullptr);
    const int partials = partials_of(size_.rows);
    auto sums = poisoned<float>(static_cast<std::size_t>(partials) * width());
    const auto dx = under_all_schedules(
        [&] {
            auto gradient = residual;
            start(RmsNormBackward{gradient.data(), sums.data(), gradient.data(), dy.data(), x.data(), rstd.data(),
                                  w.data(), size_.rows, size_.width},
                  nullptr);
            return gradient;
        },
        sums);
    const auto dw = under_all_schedules([&] {
        std::vector<float> total(width(), 2.0F);
        start(AddPartials{total.data(), sums.data(), partials, size_.width}, nullptr);
        return total;
    });
    std::vector<double> expected_dw(width(), 2.0);
    for (int r = 0; r < size_.rows; ++r) {
        const double scale = number(rstd[static_cast<std::size_t>(r)]);
        double mean = 0;
        for (int i = 0; i < size_.width; ++i)
            mean += number(dy[size_.at(r, i)]) * number(w[static_cast<std::size_t>(i)]) * number(x[size_.at(r, i)]) *
                    scale / size_.width;
        for (int i = 0; i < size_.width; ++i) {
            const std::size_t at = size_.at(r, i), c = static_cast<std::size_t>(i);
            expected_dw[c] += number(dy[at]) * number(x[at]) * scale;
            const double expected =
                number(residual[at]) + scale * (number(dy[at]) * number(w[c]) - number(x[at]) * scale * mean);
            ASSERT_NEAR(number(dx[at]), expected, kBf16Step * (std::abs(expected) + 1e-3));
        }
    }
    for (std::size_t i = 0; i < width(); ++i) ASSERT_NEAR(number(dw[i]), expected_dw[i], 1e-3);
}

/// Heads of rows q | k | v: pieces of rows that are farther apart than they are wide, and elsewhere in x than in y.
TEST(Heads, AreNormedPieceByPieceAsRowsOfTheirOwnAre) {
    constexpr int rows = 37, pieces = 3, width = 24, pitch = 128, from_pitch = 96, all = rows * pieces;
    const RowGrid to{pieces, pitch}, from{pieces, from_pitch};
    Numbers numbers(3);
    const auto x = numbers.bf16s(rows * from_pitch), w = numbers.bf16s(width), d = numbers.bf16s(rows * pitch);
    std::vector<bf16> packed_x, packed_dy;
    for (int r = 0; r < all; ++r)
        for (std::size_t i = 0; i < width; ++i) {
            packed_x.push_back(x[from.at(r, width) + i]);
            packed_dy.push_back(d[to.at(r, width) + i]);
        }
    std::vector<float> rstd(all), packed_rstd(all);
    auto packed = poisoned<bf16>(packed_x.size());
    start(RmsNorm{packed.data(), packed_rstd.data(), packed_x.data(), w.data(), nullptr, all, width, 1e-5F, 1},
          nullptr);
    const auto y = under_all_schedules([&] {
        auto normed = d;
        start(RmsNorm{normed.data(), rstd.data(), x.data(), w.data(), nullptr, all, width, 1e-5F, 1, to, from},
              nullptr);
        return normed;
    });
    EXPECT_EQ(rstd, packed_rstd);
    auto packed_dx = packed_dy;
    auto sums = poisoned<float>(static_cast<std::size_t>(partials_of(all)) * width), packed_sums = sums;
    start(RmsNormBackward{packed_dx.data(), packed_sums.data(), nullptr, packed_dx.data(), packed_x.data(), rstd.data(),
                          w.data(), all, width, 1},
          nullptr);
    const auto dx = under_all_schedules([&] {
        auto gradient = d;
        start(RmsNormBackward{gradient.data(), sums.data(), nullptr, gradient.data(), x.data(), rstd.data(), w.data(),
                              all, width, 1, to, from},
              nullptr);
        return gradient;
    });
    EXPECT_EQ(sums, packed_sums);
    std::vector<bool> touched(d.size());
    for (int r = 0; r < all; ++r)
        for (std::size_t i = 0; i < width; ++i) {
            const std::size_t at = to.at(r, width) + i, in = static_cast<std::size_t>(r) * width + i;
            ASSERT_EQ(y[at].bits, packed[in].bits);
            ASSERT_EQ(dx[at].bits, packed_dx[in].bits);
            const double one = number(packed_x[in]) * number(rstd[static_cast<std::size_t>(r)]);
            ASSERT_NEAR(number(y[at]), one * (1 + number(w[i])), kBf16Step * (std::abs(one) + 1e-3) * 3);
            touched[at] = true;
        }
    for (std::size_t i = 0; i < d.size(); ++i)
        if (!touched[i]) {
            ASSERT_EQ(y[i].bits, d[i].bits) << "what lies between stays";
            ASSERT_EQ(dx[i].bits, d[i].bits);
        }
}

TEST_P(Rows, TakeABiasAndGiveItsGradient) {
    const auto x = numbers_.bf16s(size_.area()), bias = numbers_.bf16s(width());
    for (const bool relu : {false, true}) {
        const auto y = under_all_schedules([&] {
            auto biased = x;
            start(AddBias{biased.data(), bias.data(), size_.rows, size_.width, relu, 0.5F}, nullptr);
            return biased;
        });
        for (std::size_t i = 0; i < y.size(); ++i) {
            const double sum = number(x[i]) + 0.5 * number(bias[i % width()]);
            ASSERT_NEAR(number(y[i]), relu ? std::max(sum, 0.0) : sum, kBf16Step * std::abs(sum));
        }
    }
    const int count = partials_of(size_.rows);
    const auto partials = under_all_schedules([&] {
        auto sums = poisoned<float>(static_cast<std::size_t>(count) * width());
        start(ColumnSums{sums.data(), x.data(), size_.rows, size_.width}, nullptr);
        return sums;
    });
    std::vector<float> total(width(), 0.25F);
    start(AddPartials{total.data(), partials.data(), count, size_.width, 0.5F}, nullptr);
    for (int i = 0; i < size_.width; ++i) {
        double sum = 0;
        for (int r = 0; r < size_.rows; ++r) sum += number(x[size_.at(r, i)]);
        ASSERT_NEAR(number(total[static_cast<std::size_t>(i)]), 0.25 + 0.5 * sum, 1e-4);
    }
}

/// f of a gate, and its slope, in double.
struct GateValue {
    double value, slope;
};
GateValue silu(double x) {
    const double s = 1 / (1 + std::exp(-x));
    return {x * s, s * (1 + x * (1 - s))};
}
GateValue gelu_tanh(double x) {
    const double root = std::sqrt(2 / std::numbers::pi), t = std::tanh(root * (x + 0.044715 * x * x * x));
    return {x * (1 + t) / 2, (1 + t) / 2 + x / 2 * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)};
}

TEST_P(Rows, GoThroughTheGateForthAndBack) {
    for (const bool gelu : {false, true}) {
        const auto gate_up = numbers_.bf16s(2 * size_.area(), 2), dh = numbers_.bf16s(size_.area());
        const auto h = under_all_schedules([&] {
            auto inner = poisoned<bf16>(size_.area());
            start(Gate{inner.data(), gate_up.data(), size_.rows, size_.width, gelu}, nullptr);
            return inner;
        });
        const auto gradient = under_all_schedules([&] {
            auto both = gate_up;
            start(GateBackward{both.data(), dh.data(), size_.rows, size_.width, gelu}, nullptr);
            return both;
        });
        for (int r = 0; r < size_.rows; ++r)
            for (int i = 0; i < size_.width; ++i) {
                const std::size_t at = size_.at(2 * r, i), up_at = size_.at(2 * r + 1, i);
                const double up = number(gate_up[up_at]), d = number(dh[size_.at(r, i)]);
                const GateValue f = gelu ? gelu_tanh(number(gate_up[at])) : silu(number(gate_up[at]));
                const auto near = [](bf16 have, double want) {
                    ASSERT_NEAR(number(have), want, kBf16Step * (std::abs(want) + 1e-3));
                };
                near(h[size_.at(r, i)], f.value * up);
                near(gradient[at], d * up * f.slope);
                near(gradient[up_at], d * f.value);
            }
    }
}

/// Heads of 24 columns, of which 16 turn, in either way of pairing; with and without bias and pages.
class Turning : public testing::TestWithParam<bool> {
protected:
    static constexpr HeadShape kShape{4, 2, 24};
    static constexpr int kRows = 37, kPairs = 8, kPositions = 50;
    Numbers numbers_{11};
    std::vector<float> cosine_, sine_;
    std::vector<std::int32_t> positions_, places_;

    Turning() {
        for (int p = 0; p < kPositions; ++p)
            for (int i = 0; i < kPairs; ++i) {
                const double angle = p * std::pow(100.0, -i / 8.0);
                cosine_.push_back(static_cast<float>(std::cos(angle)));
                sine_.push_back(static_cast<float>(std::sin(angle)));
            }
        for (int r = 0; r < kRows; ++r) {
            positions_.push_back(numbers_.below(kPositions));
            places_.push_back((r * 7 + 3) % 48);  // each place once
        }
    }
    [[nodiscard]] Rotary rotary(const float* growth = nullptr) const {
        return {cosine_.data(), sine_.data(), kPairs, GetParam(), positions_.data(), growth};
    }
    /// Column `i` of a head after its turn.
    [[nodiscard]] double turned(const std::vector<double>& head, int row, int i) const {
        if (i >= 2 * kPairs) return head[static_cast<std::size_t>(i)];
        const int pair = GetParam() ? i / 2 : i % kPairs;
        const bool second = GetParam() ? i % 2 == 1 : i >= kPairs;
        const auto at = [&](bool which) {
            return head[static_cast<std::size_t>(GetParam() ? 2 * pair + which : pair + which * kPairs)];
        };
        const auto angle = static_cast<std::size_t>(positions_[static_cast<std::size_t>(row)] * kPairs + pair);
        const double c = number(cosine_[angle]), s = number(sine_[angle]);
        return second ? at(true) * c + at(false) * s : at(false) * c - at(true) * s;
    }
};
INSTANTIATE_TEST_SUITE_P(HalvesAndNeighbours, Turning, testing::Bool());

TEST_P(Turning, HeadsByTheirPositionsIntoPages) {
    const auto qkv = numbers_.bf16s(std::size_t{kRows} * kShape.stride());
    const auto bias = numbers_.bf16s(std::size_t{kShape.stride()});
    const std::size_t page_numbers = std::size_t{3} * kPageTokens * kShape.kv_heads * kShape.head_dim;
    std::vector<bf16> keys(page_numbers), values(page_numbers);
    std::vector<float> growth;
    for (int p = 0; p < kPositions; ++p) growth.push_back(1 + 0.01F * static_cast<float>(p));
    const auto out = under_all_schedules(
        [&] {
            auto rows = qkv;
            start(TurnHeads{rows.data(), bias.data(), rotary(growth.data()), kShape, kRows, keys.data(), values.data(),
                            places_.data()},
                  nullptr);
            return rows;
        },
        keys, values);
    for (int r = 0; r < kRows; ++r)
        for (int h = 0; h < kShape.all(); ++h) {
            std::vector<double> head(kShape.head_dim);
            const auto at = static_cast<std::size_t>(r * kShape.stride() + h * kShape.head_dim);
            for (std::size_t i = 0; i < head.size(); ++i)
                head[i] = number(qkv[at + i]) + number(bias[static_cast<std::size_t>(h) * kShape.head_dim + i]);
            const int place = places_[static_cast<std::size_t>(r)], kv = (h - 4) % 2;
            const auto page = static_cast<std::size_t>(((place / 16 * 2 + kv) * 16 + place % 16) * kShape.head_dim);
            for (int i = 0; i < kShape.head_dim; ++i) {
                const auto c = static_cast<std::size_t>(i);
                double expected = h < 6 ? turned(head, r, i) : head[c];
                if (h < 4)
                    expected *= number(growth[static_cast<std::size_t>(positions_[static_cast<std::size_t>(r)])]);
                ASSERT_NEAR(number(out[at + c]), expected, kBf16Step * (std::abs(expected) + 1e-3));
                if (h >= 4) {
                    ASSERT_EQ((h < 6 ? keys : values)[page + c].bits, out[at + c].bits);
                }
            }
        }
    auto plain = qkv;
    start(TurnHeads{plain.data(), nullptr, rotary(), kShape, kRows, nullptr, nullptr, nullptr}, nullptr);
    EXPECT_EQ(plain.back().bits, qkv.back().bits) << "values don't turn";
    EXPECT_NE(plain[0].bits, qkv[0].bits);
}

TEST(Products, OfTheReferenceAreThoseOfPlainSums) {
    Numbers numbers(5);
    const int m = 5, n = 8, k = 16;
    const auto a = numbers.bf16s(256), b = numbers.bf16s(256), before = numbers.bf16s(256);
    for (const Product product : {Product::nt, Product::nn, Product::tn})
        for (const float beta : {0.0F, 1.0F}) {
            const int a_pitch = product == Product::tn ? 9 : 17, b_pitch = product == Product::nt ? 19 : 11;
            auto c = before;
            std::vector<float> c_float(256, 3);
            const Gemm gemm{product, m, n, k, a.data(), a_pitch, b.data(), b_pitch, c.data(), nullptr, 12, beta, 0.5F};
            Gemm wide = gemm;
            wide.c = nullptr;
            wide.c_float = c_float.data();
            reference_product(gemm);
            reference_product(wide);
            for (int i = 0; i < m; ++i)
                for (int j = 0; j < n; ++j) {
                    double sum = 0;
                    for (int l = 0; l < k; ++l)
                        sum += number(a[static_cast<std::size_t>(product == Product::tn ? l * a_pitch + i
                                                                                        : i * a_pitch + l)]) *
                               number(b[static_cast<std::size_t>(product == Product::nt ? j * b_pitch + l
                                                                                        : l * b_pitch + j)]);
                    sum *= 0.5;
                    const auto at = static_cast<std::size_t>(i * 12 + j);
                    EXPECT_NEAR(number(c_float[at]), sum + (beta == 0 ? 0 : 3), 1e-4);
                    sum += beta == 0 ? 0 : number(before[at]);
                    EXPECT_NEAR(number(c[at]), sum, kBf16Step * (std::abs(sum) + 1e-3));
                }
        }
}

}  // namespace
}  // namespace tdrm::gpu
