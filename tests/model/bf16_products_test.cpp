#include "tdrm/model/bf16_products.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::model::ops {
namespace {

std::vector<Bf16Unit> units() {
    std::vector<Bf16Unit> found;
    for (const auto unit : {Bf16Unit::dot_products, Bf16Unit::tiles})
        if (unit <= bf16_unit()) found.push_back(unit);
    return found;
}

std::vector<float> numbers(int rows, int columns, std::uint64_t seed) {
    Random random(random_key(seed, "products"));
    std::vector<float> result(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    for (float& x : result) x = static_cast<float>(random.next_normal());
    return result;
}

double rounded(float x) { return static_cast<double>(to_float(to_bfloat16(x))); }

/// Y = beta Y + X B^T over rounded numbers, in double.
std::vector<double> expected(const std::vector<float>& y, const std::vector<float>& x, const std::vector<float>& b,
                             int m, int outputs, int sums, double beta) {
    std::vector<double> result(y.begin(), y.end());
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < outputs; ++j) {
            double sum = 0;
            for (int q = 0; q < sums; ++q)
                sum += rounded(x[static_cast<std::size_t>(i * sums + q)]) *
                       rounded(b[static_cast<std::size_t>(j * sums + q)]);
            auto& out = result[static_cast<std::size_t>(i * outputs + j)];
            out = beta * out + sum;
        }
    return result;
}

void expect_near(const std::vector<float>& found, const std::vector<double>& wanted, int sums) {
    ASSERT_EQ(found.size(), wanted.size());
    for (std::size_t i = 0; i < found.size(); ++i)
        ASSERT_NEAR(static_cast<double>(found[i]), wanted[i], 2e-6 * sums + 1e-6 * std::abs(wanted[i])) << i;
}

class Bf16Products : public testing::Test {
protected:
    void SetUp() override {
        if (units().empty()) GTEST_SKIP() << "this processor has neither AMX nor AVX512-BF16";
    }
};

struct Shape {
    int m, outputs, sums;
};
constexpr Shape kShapes[] = {{1, 1, 1},   {1, 16, 32},  {16, 16, 32},  {17, 33, 65},   {32, 32, 64},
                             {5, 100, 7}, {40, 48, 31}, {100, 20, 96}, {64, 128, 256}, {33, 15, 130}};

TEST_F(Bf16Products, AreSumsOfRoundedNumbersForAllShapes) {
    for (const auto unit : units())
        for (const auto& [m, outputs, sums] : kShapes)
            for (const float beta : {0.0F, 1.0F}) {
                SCOPED_TRACE(testing::Message()
                             << name_of(unit) << " " << m << " " << outputs << " " << sums << " " << beta);
                const auto x = numbers(m, sums, 1), b = numbers(outputs, sums, 2);
                auto y = numbers(m, outputs, 3);
                const auto wanted = expected(y, x, b, m, outputs, sums, static_cast<double>(beta));
                Bf16Matrix packed;
                packed.pack(b.data(), outputs, sums);
                multiply_bf16(y.data(), x.data(), packed, m, beta, unit);
                expect_near(y, wanted, sums);
            }
}

TEST_F(Bf16Products, PackTheTransposeAsTheMatrixItself) {
    for (const auto& [m, outputs, sums] : kShapes) {
        const auto b = numbers(outputs, sums, 2);
        std::vector<float> turned(b.size());
        for (int i = 0; i < outputs; ++i)
            for (int q = 0; q < sums; ++q)
                turned[static_cast<std::size_t>(q * outputs + i)] = b[static_cast<std::size_t>(i * sums + q)];
        Bf16Matrix one, other;
        one.pack(b.data(), outputs, sums);
        other.pack_transposed(turned.data(), sums, outputs);
        ASSERT_EQ(one.pairs(), other.pairs());
        const std::size_t words = static_cast<std::size_t>((outputs + 15) / 16 * 16 * one.pairs());
        EXPECT_EQ(std::memcmp(one.data(), other.data(), words * sizeof(std::uint32_t)), 0) << outputs << " " << sums;
    }
}

TEST_F(Bf16Products, OfGradientsAreTransposedSums) {
    for (const auto unit : units())
        for (const auto& [m, n, k] : kShapes) {
            SCOPED_TRACE(testing::Message() << name_of(unit) << " " << m << " " << n << " " << k);
            const auto y = numbers(m, n, 1), x = numbers(m, k, 2);
            auto w = numbers(n, k, 3);
            std::vector<double> wanted(w.begin(), w.end());
            for (int i = 0; i < n; ++i)
                for (int j = 0; j < k; ++j)
                    for (int t = 0; t < m; ++t)
                        wanted[static_cast<std::size_t>(i * k + j)] += rounded(y[static_cast<std::size_t>(t * n + i)]) *
                                                                       rounded(x[static_cast<std::size_t>(t * k + j)]);
            multiply_transposed_bf16(w.data(), y.data(), x.data(), m, n, k, unit);
            expect_near(w, wanted, m);
        }
}

TEST_F(Bf16Products, GiveARowTheSameBitsInAnyCompany) {
    constexpr int rows = 200, outputs = 72, sums = 96;
    const auto x = numbers(rows, sums, 1), b = numbers(outputs, sums, 2);
    Bf16Matrix packed;
    packed.pack(b.data(), outputs, sums);
    for (const auto unit : units()) {
        std::vector<float> whole(rows * outputs), part(rows * outputs);
        multiply_bf16(whole.data(), x.data(), packed, rows, 0, unit);
        for (const int m : {1, 15, 16, 17, 31, 33, 100}) {
            multiply_bf16(part.data(), x.data() + sums, packed, m, 0, unit);
            EXPECT_EQ(
                std::memcmp(part.data(), whole.data() + outputs, sizeof(float) * static_cast<std::size_t>(m * outputs)),
                0)
                << name_of(unit) << " " << m;
        }
    }
}

}  // namespace
}  // namespace tdrm::model::ops
