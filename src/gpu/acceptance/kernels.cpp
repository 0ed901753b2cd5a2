#include "kernels.hpp"

#include <cmath>

namespace tdrm::gpu {
namespace {

constexpr double kBf16 = 4e-3, kFp32 = 1e-5, kExact = 0;

std::size_t area(int rows, int columns) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }

/// Rows of a 0.5B model, or few.
struct Sizes {
    int rows, width, inner, vocab;
};
constexpr Sizes kFull{97, 896, 4864, 151936}, kQuick{9, 64, 96, 1000};

std::vector<std::int32_t> random_rows(Arrays& a, int n, int below) {
    std::vector<std::int32_t> rows(static_cast<std::size_t>(n));
    for (auto& row : rows) row = a.below(below);
    return rows;
}

/// Results of an operation, one array.
template <class T>
std::vector<double> done(Arrays& a, const Operation& operation, const T* result, std::size_t n) {
    a.device().run(operation);
    std::vector<double> numbers;
    append(numbers, a.back(result, n));
    return numbers;
}

void add_norms(std::vector<KernelCase>& cases, const Sizes& s) {
    cases.push_back({"gather rows",
                     [s](Arrays& a) {
                         bf16* y = a.room<bf16>(area(s.rows, s.width));
                         return done(a,
                                     GatherRows{y, a.bf16s(area(s.rows, s.width)),
                                                a.place(random_rows(a, s.rows, s.rows)), s.rows, s.width},
                                     y, area(s.rows, s.width));
                     },
                     kExact});
    cases.push_back({"RMSNorm",
                     [s](Arrays& a) {
                         bf16* y = a.room<bf16>(area(s.rows, s.width));
                         const bf16* x = a.bf16s(area(s.rows, s.width));
                         return done(a, RmsNorm{y, nullptr, x, a.bf16s(area(1, s.width)), x, s.rows, s.width, 1e-6F}, y,
                                     area(s.rows, s.width));
                     },
                     kBf16});
    cases.push_back({"RMSNorm, gradient",
                     [s](Arrays& a) {
                         bf16* dx = a.room<bf16>(area(s.rows, s.width));
                         const int partials = partials_of(s.rows);
                         float* sums = a.room<float>(area(partials, s.width));
                         std::vector<float> rstd(static_cast<std::size_t>(s.rows), 0.9F);
                         auto numbers = done(a,
                                             RmsNormBackward{dx, sums, nullptr, a.bf16s(area(s.rows, s.width)),
                                                             a.bf16s(area(s.rows, s.width)), a.place(rstd),
                                                             a.bf16s(area(1, s.width)), s.rows, s.width},
                                             dx, area(s.rows, s.width));
                         append(numbers, a.back(sums, area(partials, s.width)));
                         return numbers;
                     },
                     kBf16});
    cases.push_back({"sums of columns",
                     [s](Arrays& a) {
                         float* sums = a.room<float>(area(partials_of(s.rows), s.width));
                         return done(a, ColumnSums{sums, a.bf16s(area(s.rows, s.width)), s.rows, s.width}, sums,
                                     area(partials_of(s.rows), s.width));
                     },
                     kFp32});
}

void add_feed_forward(std::vector<KernelCase>& cases, const Sizes& s) {
    cases.push_back(
        {"SwiGLU",
         [s](Arrays& a) {
             bf16* h = a.room<bf16>(area(s.rows, s.inner));
             return done(a, SwiGlu{h, a.bf16s(2 * area(s.rows, s.inner)), s.rows, s.inner}, h, area(s.rows, s.inner));
         },
         kBf16});
    cases.push_back({"SwiGLU, gradient",
                     [s](Arrays& a) {
                         bf16* both = a.bf16s(2 * area(s.rows, s.inner));
                         return done(a, SwiGluBackward{both, a.bf16s(area(s.rows, s.inner)), s.rows, s.inner}, both,
                                     2 * area(s.rows, s.inner));
                     },
                     kBf16});
}

void add_head(std::vector<KernelCase>& cases, const Sizes& s) {
    constexpr int rows = 6;
    cases.push_back({"log-softmax and entropy",
                     [s](Arrays& a) {
                         float* logp = a.room<float>(rows);
                         float* entropy = a.room<float>(rows);
                         auto numbers =
                             done(a,
                                  LogSoftmax{logp, entropy, a.floats(area(rows, s.vocab), 3),
                                             a.place(random_rows(a, rows, s.vocab)), rows, s.vocab, s.vocab, 0.7F},
                                  logp, rows);
                         append(numbers, a.back(entropy, rows));
                         return numbers;
                     },
                     kFp32});
    cases.push_back(
        {"log-softmax, gradient",
         [s](Arrays& a) {
             float* logits = a.floats(area(rows, s.vocab), 3);
             const std::vector<float> logp(rows, -9);
             a.device().run(LogSoftmaxBackward{logits, a.place(logp), a.floats(rows),
                                               a.place(random_rows(a, rows, s.vocab)), rows, s.vocab, s.vocab, 0.7F});
             std::vector<double> numbers;
             for (int r = 0; r < rows; ++r)
                 append(numbers,
                        a.back(reinterpret_cast<bf16*>(logits + area(r, s.vocab)), static_cast<std::size_t>(s.vocab)));
             return numbers;
         },
         kBf16});
    for (const bool filters : {false, true})
        cases.push_back({filters ? "draws, top-k, top-p and min-p" : "draws",
                         [s, filters](Arrays& a) {
                             auto* drawn = a.room<SampledToken>(rows);
                             const std::vector<double> uniform{0.1, 0.35, 0.5, 0.75, 0.9, 0.99};
                             a.device().run(Sample{drawn, a.floats(area(rows, s.vocab), 3), a.place(uniform), rows,
                                                   s.vocab, s.vocab, 0.8F, filters ? 50 : 0, filters ? 0.9 : 1.0,
                                                   filters ? 0.01F : 0.0F});
                             std::vector<double> numbers;
                             for (const SampledToken& token : a.back(drawn, rows)) numbers.push_back(token.token);
                             return numbers;
                         },
                         kExact});
}

void add_sums(std::vector<KernelCase>& cases, bool quick) {
    const std::size_t n = quick ? 5000 : 1'000'000;
    cases.push_back({"exact sums",
                     [n](Arrays& a) {
                         const std::vector<std::int64_t> zeros(n, 0);
                         std::int64_t* total = a.place(zeros);
                         return done(a, ExactAdd{total, a.floats(n, 1e-3F), n}, total, n);
                     },
                     kExact});
    cases.push_back(
        {"norm and largest of a gradient",
         [n](Arrays& a) {
             double* squares = a.room<double>(figure_blocks(n));
             std::uint32_t* largest = a.room<std::uint32_t>(figure_blocks(n));
             auto numbers = done(a, GradientFigures{squares, largest, a.floats(n), n}, squares, figure_blocks(n));
             append(numbers, a.back(largest, figure_blocks(n)));
             return numbers;
         },
         1e-12});
    cases.push_back({"AdamW",
                     [n](Arrays& a) {
                         float* master = a.floats(n);
                         const std::vector<float> zeros(n, 0);
                         return done(
                             a,
                             AdamWUpdate{a.room<bf16>(n), master, a.place(zeros), a.place(zeros), nullptr, nullptr,
                                         a.floats(n), n, 0.9F, 0.95F, 1e-3F, 1, 1e-8F, 0.999F, 1, 0, 0},
                             master, n);
                     },
                     kFp32});
}

/// Numbers of an attention case on a device.
struct OnDevice {
    QueryPlan plan;
    const bf16* qkv;
    bf16* out;
    float* lse;
    std::size_t out_size, lse_size;
    OnDevice(Arrays& a, const AttentionCase& c)
        : plan{a.place(c.tiles), a.place(c.ranges), a.place(c.row_of), a.place(c.limits),
               static_cast<int>(c.tiles.size())},
          qkv(a.bf16s(area(c.tokens, c.shape.stride()))),
          out_size(area(c.tokens, c.shape.heads * c.shape.head_dim)),
          lse_size(area(c.tokens, c.shape.heads)) {
        out = a.room<bf16>(out_size);
        lse = a.room<float>(lse_size);
        a.device().run(Attend{out, lse, qkv, plan, c.shape, 0.125F, nullptr, nullptr, nullptr});
    }
};

std::vector<double> attention_gradient(Arrays& a, const AttentionCase& c) {
    const OnDevice on(a, c);
    const std::size_t shares = c.chunks.size() * area(c.shape.heads, c.shape.head_dim) * kKeyTileKeys;
    const bf16* d_out = a.bf16s(on.out_size);
    float* delta = a.room<float>(on.lse_size);
    float* dq = a.room<float>(on.out_size);
    float* dk = a.room<float>(shares);
    float* dv = a.room<float>(shares);
    bf16* d_qkv = a.room<bf16>(area(c.tokens, c.shape.stride()));
    const AttendGradient of{on.qkv, d_out, on.lse, delta, c.shape, 0.125F};
    a.device().run(AttendDelta{delta, on.out, d_out, c.tokens, c.shape});
    a.device().run(AttendQueries{dq, of, on.plan});
    a.device().run(AttendKeys{dk, dv, of, a.place(c.chunks), a.place(c.parts), on.plan.row_of, on.plan.limits,
                              static_cast<int>(c.chunks.size())});
    return done(a,
                AttendReduce{d_qkv, dq, dk, dv, a.place(c.key_tiles), static_cast<int>(c.key_tiles.size()),
                             a.place(c.positions), Rotary{nullptr, nullptr, 0, false}, c.shape},
                d_qkv, area(c.tokens, c.shape.stride()));
}

void add_attention(std::vector<KernelCase>& cases, bool quick) {
    for (const HeadShape& shape : {HeadShape{7, 1, 64}, HeadShape{2, 1, 128}, HeadShape{4, 2, 24}}) {
        const AttentionCase c = quick ? attention_case(shape, 40, 30, 2) : attention_case(shape, 150, 180, 3);
        const std::string heads = " of heads of " + std::to_string(shape.head_dim);
        cases.push_back({"attention" + heads,
                         [c](Arrays& a) {
                             const OnDevice on(a, c);
                             std::vector<double> numbers;
                             append(numbers, a.back(on.out, on.out_size));
                             append(numbers, a.back(on.lse, on.lse_size));
                             return numbers;
                         },
                         kBf16});
        cases.push_back({"attention, gradient" + heads, [c](Arrays& a) { return attention_gradient(a, c); }, kBf16});
    }
}

void add_products(std::vector<KernelCase>& cases) {
    for (const Product product : {Product::nt, Product::nn, Product::tn})
        for (const bool wide : {false, true}) {
            const char* names[] = {"nt", "nn", "tn"};
            cases.push_back({std::string("product ") + names[static_cast<int>(product)] + (wide ? ", fp32" : ""),
                             [product, wide](Arrays& a) {
                                 constexpr int m = 72, n = 136, k = 200;
                                 const bf16* left = a.bf16s(area(m, k));
                                 const bf16* right = a.bf16s(area(k, n));
                                 bf16* c = a.bf16s(area(m, n));
                                 float* c_float = a.floats(area(m, n));
                                 a.device().multiply({product, m, n, k, left, product == Product::tn ? m : k, right,
                                                      product == Product::nt ? k : n, wide ? nullptr : c,
                                                      wide ? c_float : nullptr, n, 1});
                                 std::vector<double> numbers;
                                 if (wide) append(numbers, a.back(c_float, area(m, n)));
                                 if (!wide) append(numbers, a.back(c, area(m, n)));
                                 return numbers;
                             },
                             wide ? kFp32 : kBf16});
        }
}

}  // namespace

std::vector<KernelCase> kernel_cases(bool quick) {
    std::vector<KernelCase> cases;
    const Sizes& sizes = quick ? kQuick : kFull;
    add_norms(cases, sizes);
    add_feed_forward(cases, sizes);
    add_attention(cases, quick);
    add_head(cases, sizes);
    add_sums(cases, quick);
    add_products(cases);
    return cases;
}

}  // namespace tdrm::gpu
