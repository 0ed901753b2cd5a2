#include "kernels.hpp"

#include <algorithm>
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
    cases.push_back({"RMSNorm of heads, 1 + weight",
                     [s](Arrays& a) {
                         bf16* y = a.bf16s(area(s.rows, 6 * 32));
                         return done(a,
                                     RmsNorm{y,
                                             nullptr,
                                             a.bf16s(area(s.rows, 4 * 32)),
                                             a.bf16s(32),
                                             nullptr,
                                             s.rows * 4,
                                             32,
                                             1e-6F,
                                             1,
                                             {4, 6 * 32},
                                             {4, 4 * 32}},
                                     y, area(s.rows, 6 * 32));
                     },
                     kBf16});
    cases.push_back(
        {"rows added up in lists",
         [s](Arrays& a) {
             const std::vector<std::int32_t> target{2, 0}, first{0, 3, s.rows};
             std::vector<std::int32_t> rows(static_cast<std::size_t>(s.rows));
             for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<std::int32_t>(r);
             const RowLists lists{a.place(target), a.place(first), a.place(rows), 2};
             bf16* y = a.bf16s(area(3, s.width));
             const bf16* x = a.bf16s(area(s.rows, s.width));
             auto numbers = done(a, ScatterRows{y, x, lists, s.width}, y, area(3, s.width));
             float* gradient = a.floats(area(3, s.width));
             append(numbers, done(a, EmbedBackward{gradient, x, lists, s.width, 0.5F}, gradient, area(3, s.width)));
             return numbers;
         },
         kBf16});
    cases.push_back({"bias and ReLU",
                     [s](Arrays& a) {
                         bf16* y = a.bf16s(area(s.rows, s.width));
                         return done(a, AddBias{y, a.bf16s(area(1, s.width)), s.rows, s.width, true, 0.5F}, y,
                                     area(s.rows, s.width));
                     },
                     kBf16});
    cases.push_back(
        {"RMSNorm, gradient",
         [s](Arrays& a) {
             bf16* dx = a.room<bf16>(area(s.rows, s.width));
             const int partials = partials_of(s.rows);
             float* sums = a.room<float>(area(partials, s.width));
             std::vector<float> rstd(static_cast<std::size_t>(s.rows), 0.9F);
             auto numbers =
                 done(a,
                      RmsNormBackward{dx, sums, nullptr, a.bf16s(area(s.rows, s.width)), a.bf16s(area(s.rows, s.width)),
                                      a.place(rstd), a.bf16s(area(1, s.width)), s.rows, s.width},
                      dx, area(s.rows, s.width));
             append(numbers, a.back(sums, area(partials, s.width)));
             float* total = a.floats(area(1, s.width));
             append(numbers, done(a, AddPartials{total, sums, partials, s.width, 0.5F}, total, area(1, s.width)));
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
    for (const bool gelu : {false, true}) {
        const std::string name = gelu ? "gate by GELU" : "gate by SiLU";
        cases.push_back({name,
                         [s, gelu](Arrays& a) {
                             bf16* h = a.room<bf16>(area(s.rows, s.inner));
                             return done(a, Gate{h, a.bf16s(2 * area(s.rows, s.inner)), s.rows, s.inner, gelu}, h,
                                         area(s.rows, s.inner));
                         },
                         kBf16});
        cases.push_back({name + ", gradient",
                         [s, gelu](Arrays& a) {
                             bf16* both = a.bf16s(2 * area(s.rows, s.inner));
                             return done(a, GateBackward{both, a.bf16s(area(s.rows, s.inner)), s.rows, s.inner, gelu},
                                         both, 2 * area(s.rows, s.inner));
                         },
                         kBf16});
    }
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

void add_values(std::vector<KernelCase>& cases, const Sizes& s) {
    cases.push_back({"values and their gradient",
                     [s](Arrays& a) {
                         const bf16* x = a.bf16s(area(s.rows, s.width));
                         const bf16* w = a.bf16s(area(2, s.width), 0.1F);
                         float* values = a.room<float>(area(s.rows, 1));
                         auto numbers = done(a, ReadValues{values, x, w, w + s.width, w, w + 1, s.rows, s.width},
                                             values, area(s.rows, 1));
                         bf16* dx = a.room<bf16>(area(s.rows, s.width));
                         float* dw = a.floats(area(1, s.width));
                         append(numbers, done(a, ReadValuesBackward{dx, dw, x, w, values, s.rows, s.width}, dx,
                                              area(s.rows, s.width)));
                         append(numbers, a.back(dw, area(1, s.width)));
                         return numbers;
                     },
                     kBf16});
}

void add_sums(std::vector<KernelCase>& cases, bool quick) {
    const std::size_t n = quick ? 5000 : 1'000'000;
    cases.push_back({"exact sums",
                     [n](Arrays& a) {
                         const std::vector<std::int64_t> zeros(n, 0);
                         std::int64_t* total = a.place(zeros);
                         auto numbers = done(a, ExactAdd{total, a.floats(n, 1e-3F), n}, total, n);
                         float* rounded = a.room<float>(n);
                         append(numbers, done(a, ExactToFloat{rounded, total, n}, rounded, n));
                         append(numbers, done(a, FastAdd{rounded, a.floats(n), n}, rounded, n));
                         return numbers;
                     },
                     kExact});
    cases.push_back({"rounding to bf16 and back",
                     [n](Arrays& a) {
                         bf16* rounded = a.room<bf16>(n);
                         auto numbers = done(a, Round{rounded, a.floats(n), n}, rounded, n);
                         float* wide = a.room<float>(n);
                         append(numbers, done(a, Widen{wide, rounded, n}, wide, n));
                         return numbers;
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

/// Angles of rotary positions, half of a head's pairs; queries grow.
Rotary rotary_of(Arrays& a, const HeadShape& shape, const std::vector<std::int32_t>& positions) {
    const int pairs = shape.head_dim / 4, most = *std::max_element(positions.begin(), positions.end());
    std::vector<float> cosine, sine, growth;
    for (int p = 0; p <= most; ++p) {
        growth.push_back(1 + 0.001F * static_cast<float>(p));
        for (int i = 0; i < pairs; ++i) {
            const double angle = p * std::pow(100.0, -i / static_cast<double>(pairs));
            cosine.push_back(static_cast<float>(std::cos(angle)));
            sine.push_back(static_cast<float>(std::sin(angle)));
        }
    }
    return {a.place(cosine), a.place(sine), pairs, false, a.place(positions), a.place(growth)};
}

/// Numbers of an attention case on a device.
struct OnDevice {
    QueryPlan plan;
    const bf16* qkv;
    bf16* out;
    float* lse;
    std::size_t out_size, lse_size;
    OnDevice(Arrays& a, const AttentionCase& c)
        : plan{a.place(c.tiles), a.place(c.ranges), a.place(c.row_of), a.place(c.seen),
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
    const std::size_t shares = area(c.num_shares, c.shape.heads * c.shape.head_dim);
    const bf16* d_out = a.bf16s(on.out_size);
    float* delta = a.room<float>(on.lse_size);
    float* dq = a.room<float>(on.out_size);
    float* dk = a.room<float>(shares);
    float* dv = a.room<float>(shares);
    bf16* d_qkv = a.room<bf16>(area(c.tokens, c.shape.stride()));
    const AttendGradient of{on.qkv, d_out, on.lse, delta, c.shape, 0.125F};
    a.device().run(AttendDelta{delta, on.out, d_out, c.tokens, c.shape});
    a.device().run(AttendQueries{dq, of, on.plan});
    a.device().run(
        AttendKeys{dk, dv, of, on.plan, a.place(c.chunks), a.place(c.parts), static_cast<int>(c.chunks.size())});
    return done(a,
                AttendReduce{d_qkv, dq, dk, dv, a.place(c.key_tiles), static_cast<int>(c.key_tiles.size()),
                             rotary_of(a, c.shape, c.positions), c.shape},
                d_qkv, area(c.tokens, c.shape.stride()));
}

/// The rows of one prompt turned into pages, and attention from these: of all rows in tiles, then of each by itself.
/// The two have the same bits, or the numbers say so.
std::vector<double> paged_attention(Arrays& a, const AttentionCase& c, int window) {
    const HeadShape& shape = c.shape;
    const int tokens = c.ranges[0].count, pages = (tokens + kPageTokens - 1) / kPageTokens;
    const AttentionCase flat = attention_case(shape, tokens, 1, 0, window);
    const std::size_t cache = area(pages * kPageTokens, shape.kv_heads * shape.head_dim);
    std::vector<std::int32_t> page_of(static_cast<std::size_t>(pages)), places, first_range{0}, first_key;
    for (int p = 0; p < pages; ++p) page_of[static_cast<std::size_t>(p)] = (p + 1) % pages;
    std::vector<KeyRange> ranges;
    for (int t = 0; t < tokens; ++t) {
        places.push_back(page_of[static_cast<std::size_t>(t / kPageTokens)] * kPageTokens + t % kPageTokens);
        const int first = window > 0 ? std::max(t - window + 1, 0) : 0, out = first / kKeyStep * kKeyStep;
        ranges.push_back({out / kPageTokens, t + 1 - out});
        first_range.push_back(t + 1);
        first_key.push_back(first - out);
    }
    bf16* keys = a.room<bf16>(cache);
    bf16* values = a.room<bf16>(cache);
    a.device().zero(keys, cache * sizeof(bf16));
    a.device().zero(values, cache * sizeof(bf16));
    bf16* qkv = a.bf16s(area(tokens, shape.stride()));
    a.device().run(TurnHeads{qkv, a.bf16s(area(1, shape.stride())), rotary_of(a, shape, flat.positions), shape, tokens,
                             keys, values, a.place(places)});
    const std::size_t n = area(tokens, shape.heads * shape.head_dim);
    bf16* tiles = a.room<bf16>(n);
    bf16* once = a.room<bf16>(n);
    std::vector<KeyRange> in_pages = flat.ranges;  // one segment, whose pages begin at 0
    const QueryPlan plan{a.place(flat.tiles), a.place(in_pages), a.place(flat.row_of), a.place(flat.seen),
                         static_cast<int>(flat.tiles.size())};
    const std::int32_t* page_list = a.place(page_of);
    a.device().run(Attend{tiles, nullptr, qkv, plan, shape, 0.125F, keys, values, page_list});
    a.device().run(AttendOnce{once, qkv, a.place(ranges), a.place(first_range), a.place(first_key), tokens, shape,
                              0.125F, keys, values, page_list});
    std::vector<double> numbers;
    append(numbers, a.back(tiles, n));
    const auto single = a.back(once, n);
    for (std::size_t i = 0; i < n; ++i)
        if (number(single[i]) != numbers[i]) numbers[i] = std::nan("");
    append(numbers, a.back(keys, cache));
    append(numbers, a.back(values, cache));
    return numbers;
}

void add_attention(std::vector<KernelCase>& cases, bool quick) {
    struct Kind {
        HeadShape shape;
        int window;
    };
    for (const Kind& of :
         {Kind{{7, 1, 64}, 0}, Kind{{2, 1, 128}, 0}, Kind{{4, 2, 24}, 0}, Kind{{2, 1, 256}, 0}, Kind{{4, 2, 64}, 23}}) {
        const AttentionCase c =
            quick ? attention_case(of.shape, 40, 30, 2, of.window) : attention_case(of.shape, 150, 180, 3, of.window);
        const std::string heads =
            " of heads of " + std::to_string(of.shape.head_dim) + (of.window > 0 ? ", with a window" : "");
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
        cases.push_back({"attention from pages" + heads,
                         [c, window = of.window](Arrays& a) { return paged_attention(a, c, window); }, kBf16});
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
    add_values(cases, sizes);
    add_sums(cases, quick);
    add_products(cases);
    return cases;
}

}  // namespace tdrm::gpu
