// Drawing a token from a row of logits, one block a row.
//
// Filters and draws of engine::choose go through tokens by weight, heaviest first, equal ones by number. That order is
// never made: a token's rank is its key, the weight's bits before the complement of its number, and what is asked
// (the k-th, the one at which a mass is reached) is found by descending through the keys' bits, four at a time.
#include "kernels.hpp"
#include "portable.hpp"
#include "softmax.hpp"
#include "tdrm/gpu/head.hpp"

namespace tdrm::gpu {
namespace {

constexpr int kBins = 16, kBits = 4, kSlices = kSoftmaxThreads / kBins;

using Key = unsigned long long;

struct SampleScratch {
    SoftmaxSums sums[kSoftmaxThreads / kLanes];
    double mass[kSoftmaxThreads][kBins];
    int count[kSoftmaxThreads][kBins];
    double slice_mass[kSlices][kBins];
    int slice_count[kSlices][kBins];
    double bin_mass[kBins];
    int bin_count[kBins];
    double total[kSoftmaxThreads];
    Key key;
    int token;
};

/// A row's weights exp(z - top), z = logit / temperature.
struct RowWeights {
    const float* logits;
    int vocab;
    float inverse, top;

    __device__ __forceinline__ float weight(int token) const { return __expf(logits[token] * inverse - top); }
    __device__ __forceinline__ Key key(int token) const {
        return static_cast<Key>(__float_as_uint(weight(token))) << 32 | (0xffffffffU - static_cast<unsigned>(token));
    }
};
__device__ __forceinline__ float weight_of(Key key) { return __uint_as_float(static_cast<std::uint32_t>(key >> 32)); }
__device__ __forceinline__ int token_of(Key key) {
    return static_cast<int>(0xffffffffU - static_cast<unsigned>(key & 0xffffffffU));
}
__device__ __forceinline__ int thread_id() { return static_cast<int>(threadIdx.x); }

/// Counts and masses, by the next four bits, of the keys whose bits above them are `prefix`.
__device__ __forceinline__ void fill_bins(const RowWeights& row, SampleScratch& scratch, Key prefix, int shift) {
    const int t = thread_id();
    double mass[kBins] = {};
    int count[kBins] = {};
    for (int i = t; i < row.vocab; i += kSoftmaxThreads) {
        const Key key = row.key(i);
        if ((shift + kBits < 64 ? key >> (shift + kBits) : 0) != prefix || key >> 32 == 0) continue;
        const int bin = static_cast<int>(key >> shift & (kBins - 1));
        const double weight = static_cast<double>(weight_of(key));
#pragma unroll
        for (int b = 0; b < kBins; ++b) {  // so that the bins stay in registers
            mass[b] += b == bin ? weight : 0.0;
            count[b] += b == bin ? 1 : 0;
        }
    }
#pragma unroll
    for (int b = 0; b < kBins; ++b) {
        scratch.mass[t][b] = mass[b];
        scratch.count[t][b] = count[b];
    }
    __syncthreads();
    const int bin = t % kBins, slice = t / kBins;
    double slice_mass = 0;
    int slice_count = 0;
    for (int i = slice * kBins; i < (slice + 1) * kBins; ++i) {
        slice_mass += scratch.mass[i][bin];
        slice_count += scratch.count[i][bin];
    }
    scratch.slice_mass[slice][bin] = slice_mass;
    scratch.slice_count[slice][bin] = slice_count;
    __syncthreads();
    if (t < kBins) {
        double total = 0;
        int all = 0;
        for (int i = 0; i < kSlices; ++i) {
            total += scratch.slice_mass[i][t];
            all += scratch.slice_count[i][t];
        }
        scratch.bin_mass[t] = total;
        scratch.bin_count[t] = all;
    }
    __syncthreads();
}

/// A token, and how many and how heavy those before it are.
struct Place {
    Key key;
    int count;
    double mass;
};

/// The first token at which `reached(count, mass)` holds, it and all before it counted; the last one if none.
template <class Reached>
__device__ __forceinline__ Place descend(const RowWeights& row, SampleScratch& scratch, Reached&& reached) {
    Place before{0, 0, 0};
    Key prefix = 0;
    for (int shift = 64 - kBits; shift >= 0; shift -= kBits) {
        fill_bins(row, scratch, prefix, shift);
        int chosen = -1;
        for (int b = kBins - 1; b >= 0; --b) {
            if (scratch.bin_count[b] == 0) continue;
            if (chosen >= 0) {
                before.count += scratch.bin_count[chosen];
                before.mass += scratch.bin_mass[chosen];
            }
            chosen = b;
            if (reached(before.count + scratch.bin_count[b], before.mass + scratch.bin_mass[b])) break;
        }
        prefix = prefix << kBits | static_cast<Key>(chosen);
        if (scratch.bin_count[chosen] > 1) continue;
        for (int i = thread_id(); i < row.vocab; i += kSoftmaxThreads)
            if (const Key key = row.key(i); key >> shift == prefix) scratch.key = key;
        __syncthreads();
        before.key = scratch.key;
        __syncthreads();
        return before;
    }
    before.key = prefix;
    return before;
}

/// Tokens that the filters keep: all from the heaviest down to `last`.
struct Kept {
    Key last;
    int count;
    double mass;
};

__device__ __forceinline__ Kept up_to(const Place& place) {
    return {place.key, place.count + 1, place.mass + static_cast<double>(weight_of(place.key))};
}

/// How many tokens have at least a weight, and their mass; on every thread.
__device__ __forceinline__ Kept at_least(const RowWeights& row, SampleScratch& scratch, float least) {
    double mass = 0, count = 0;
    for (int i = thread_id(); i < row.vocab; i += kSoftmaxThreads) {
        const float weight = row.weight(i);
        mass += weight >= least ? static_cast<double>(weight) : 0.0;
        count += weight >= least ? 1.0 : 0.0;
    }
    mass = block_sum(mass, scratch.total);
    count = block_sum(count, scratch.total);
    return {static_cast<Key>(__float_as_uint(least)) << 32, static_cast<int>(count), mass};
}

__device__ __forceinline__ Kept filter(const Sample& op, const RowWeights& row, SampleScratch& scratch) {
    Kept kept = at_least(row, scratch, 0.0F);
    if (op.top_k > 0 && op.top_k < kept.count)
        kept = up_to(descend(row, scratch, [&](int count, double) { return count >= op.top_k; }));
    if (op.top_p < 1) {
        const double goal = op.top_p * kept.mass;
        const Kept fewer = up_to(descend(row, scratch, [&](int, double mass) { return mass >= goal; }));
        if (fewer.last > kept.last) kept = fewer;
    }
    // The heaviest weight is exp(0) = 1.
    if (op.min_p > 0 && weight_of(kept.last) < op.min_p) kept = at_least(row, scratch, op.min_p);
    return kept;
}

/// The smallest token with the largest logit.
__device__ __forceinline__ int likeliest(const RowWeights& row, SampleScratch& scratch) {
    const int t = thread_id();
    int best = t;
    for (int i = t; i < row.vocab; i += kSoftmaxThreads)
        if (row.logits[i] > row.logits[best]) best = i;
    scratch.count[t][0] = best;
    __syncthreads();
    if (t == 0) {
        for (int other = 1; other < min(kSoftmaxThreads, row.vocab); ++other) {
            const int token = scratch.count[other][0];
            const float have = row.logits[best], offer = row.logits[token];
            if (offer > have || (offer == have && token < best)) best = token;
        }
        scratch.token = best;
    }
    __syncthreads();
    return scratch.token;
}

/// Inverts the cumulative distribution in the order of tokens. Each thread has a stretch of neighbours.
__device__ __forceinline__ int invert(const RowWeights& row, SampleScratch& scratch, double uniform) {
    const int t = thread_id(), each = (row.vocab + kSoftmaxThreads - 1) / kSoftmaxThreads;
    const int first = min(t * each, row.vocab), last = min(first + each, row.vocab);
    double mass = 0;
    for (int i = first; i < last; ++i) mass += static_cast<double>(row.weight(i));
    scratch.total[t] = mass;
    __syncthreads();
    double all = 0, before = 0;
#pragma unroll 4
    for (int i = 0; i < kSoftmaxThreads; ++i) all += scratch.total[i];
    const double goal = uniform * all;
    int chosen = -1;  // the first stretch that reaches the goal, or the last that has any mass
#pragma unroll 1
    for (int i = 0; i < kSoftmaxThreads; ++i) {
        if (scratch.total[i] <= 0) continue;
        if (chosen >= 0) before += scratch.total[chosen];
        chosen = i;
        if (before + scratch.total[i] > goal) break;
    }
    if (t == chosen) {
        for (int i = first; i < last; ++i) {
            const double weight = static_cast<double>(row.weight(i));
            if (weight <= 0) continue;
            scratch.token = i;
            before += weight;
            if (before > goal) break;
        }
    }
    __syncthreads();
    return scratch.token;
}

__global__ void __launch_bounds__(kSoftmaxThreads) sample(Sample op) {
    DYNAMIC_SHARED(SampleScratch, memory);
    SampleScratch& scratch = *memory;
    const int number = static_cast<int>(blockIdx.x);
    const bool greedy = op.temperature <= 0, truncates = op.top_k > 0 || op.top_p < 1 || op.min_p > 0;
    RowWeights row{op.logits + static_cast<std::size_t>(number) * op.pitch, op.vocab,
                   greedy ? 1.0F : 1.0F / op.temperature, 0};
    const SoftmaxSums sums = softmax_sums(row.logits, op.vocab, row.inverse, scratch.sums);
    row.top = sums.top;
    const double uniform = op.uniform[number];
    const auto logprob = [&](int token) { return log_probability(row.logits[token], row.inverse, sums); };
    SampledToken drawn{};
    if (greedy) {
        drawn.token = likeliest(row, scratch);
    } else if (!truncates) {
        drawn.token = invert(row, scratch, uniform);
        drawn.logprob_sampled = logprob(drawn.token);
    } else {
        const Kept kept = filter(op, row, scratch);
        const double goal = uniform * kept.mass;
        Place place = descend(row, scratch, [&](int, double mass) { return mass > goal; });
        if (place.key < kept.last)  // only by rounding, at the very end
            place = descend(row, scratch, [&](int count, double) { return count >= kept.count; });
        drawn.token = token_of(place.key);
        drawn.logprob_sampled = static_cast<float>(log(static_cast<double>(weight_of(place.key)) / kept.mass));
    }
    drawn.logprob = logprob(drawn.token);
    if (thread_id() == 0) op.out[number] = drawn;
}

}  // namespace

void start(const Sample& op, Stream stream) {
    launch(sample, static_cast<unsigned>(op.rows), kSoftmaxThreads, sizeof(SampleScratch), stream, op);
}

}  // namespace tdrm::gpu
