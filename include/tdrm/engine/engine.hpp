// The contract between what is learnt and where numbers lie. An engine holds a model on some device and computes with
// it; nothing above this header sees a pointer to its numbers. Another device is another implementation of this header.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/base/random.hpp"
#include "tdrm/comm/communicator.hpp"
#include "tdrm/engine/sampler.hpp"
#include "tdrm/model/forest.hpp"
#include "tdrm/model/layout.hpp"
#include "tdrm/model/read_out.hpp"
#include "tdrm/model/weights.hpp"

namespace tdrm::engine {

/// Flat arrays of one number per parameter, in the order of model::Layout. Outside they are fp32, whatever the engine
/// keeps. `weights` are what is computed with; the others exist from begin_training on.
enum class Array {
    weights,
    gradient,       ///< of the unit that is open, if UnitGradient says so; after `reduce` of the whole update, of the
                    ///< parts that are kept
    first_moment,   ///< of AdamW; of the parts that this rank keeps, as the next
    second_moment,  ///< of AdamW
    master,         ///< fp32 weights that updates add up in; only where weights are bf16
};

/// A range [begin, end) of the flat arrays.
struct Range {
    std::int64_t begin = 0, end = 0;
    [[nodiscard]] std::int64_t size() const { return end - begin; }
    bool operator==(const Range&) const = default;
};

enum class WeightFormat { fp32, bf16 };
/// How gradients are added over units and ranks: as integers, the same bits on any number of ranks; in fp32; or as
/// integers whose totals are dealt out like the optimiser's state, unit by unit.
enum class Sum { exact, fast, dealt };

/// What of a unit's activations the backward pass computes again instead of keeping it; the same bits.
enum class Recompute {
    none,
    ffn,    ///< the inner width of feed-forward blocks
    block,  ///< everything but what each layer gets
};

/// What is kept of a unit's gradient.
enum class UnitGradient {
    whole,     ///< all of it, to be read and written up to end_unit, or backward after collect_behind
    by_layer,  ///< on devices that of a layer, which goes into the totals in the backward pass; processors keep it
               ///< whole
    alone,     ///< as by_layer, and nothing is summed or updated here: what learns is made of it (AdapterProducts)
};

/// How the optimiser's state is dealt out: as Ownership says. One rank: it keeps everything.
struct Shard {
    int rank = 0, ranks = 1;
    std::int64_t part = std::int64_t{1} << 24;  ///< elements of a part: store::kPartElements, that of commits
};

/// What a model in training keeps.
struct TrainingSetup {
    WeightFormat weights = WeightFormat::fp32;
    Sum sum = Sum::exact;
    std::vector<Range> trainable{};  ///< ascending; what an update changes, or gradients are needed of. Empty: all
    UnitGradient gradient = UnitGradient::whole;
    Shard shard{};  ///< of moments and master weights
    Recompute recompute = Recompute::none;
    WeightFormat moments = WeightFormat::fp32;  ///< bf16: rounded by chance (base/stochastic_rounding.hpp)
};

/// One update of AdamW: w <- (1 - lr decay) w - lr m^ / (sqrt(v^) + eps), with m^ and v^ corrected for their start. The
/// gradient is multiplied by `scale` first. Decoupled weight decay (Loshchilov & Hutter 2019), none for vectors.
struct AdamWStep {
    double lr = 0;
    double beta1 = 0.9, beta2 = 0.95;
    double eps = 1e-8;
    double weight_decay = 0;
    double scale = 1;
    std::int64_t update = 0;  ///< from 0, for the corrections
};

/// Derivative of a loss with respect to one row's log-prob, given that log-prob and the entropy in nats.
using TokenLoss = std::function<float(int row, float logp, float entropy)>;

/// Last hidden states that a pass left where the engine computes. Valid until the engine's next pass.
struct Rows {
    int count = 0;
    std::int64_t pass = 0;  ///< which pass of the engine made them
};

/// What a forward pass keeps of the layers.
enum class Keep {
    nothing,
    activations,  ///< for `backward`
};

/// Tokens that a cached segment is rounded up to.
inline constexpr int kPageTokens = 16;

/// A run of tokens to append to a cached segment.
struct Append {
    int segment;
    std::span<const std::int32_t> tokens;
};
/// One token to append to a cached segment, and who draws the next one: Random(key).uniform(counter).
struct DecodeStep {
    int segment;
    std::int32_t token;
    Random random;
    std::uint64_t counter;
};

/// Cached decoding: sequences are segments of a tree, so a prompt is computed once for all that continue it. Local.
/// Rows never depend on each other: what a segment gets is a function of the tokens that it sees, whatever else is
/// computed in the same pass (bit for bit).
class Decoder {
public:
    virtual ~Decoder() = default;

    /// A new empty segment behind the whole of `parent` (-1: a root), which mustn't grow once this one has a token.
    virtual int open(int parent = -1) = 0;
    /// Frees a segment; those behind it must be closed already.
    virtual void close(int segment) = 0;
    /// Tokens that can still be appended, each segment rounded up to pages.
    [[nodiscard]] virtual std::int64_t free_tokens() const = 0;

    /// Appends runs of at least one token to different segments, parents before those behind them, in one pass. Keeps
    /// the distribution of the token after each run until `forget` or `close`.
    virtual void prefill(std::span<const Append> runs) = 0;
    virtual void forget(int segment) = 0;
    /// Draws from the distribution that `prefill` kept for a segment.
    [[nodiscard]] virtual Choice draw(int segment, const Random& random, std::uint64_t counter) = 0;
    /// Appends one token to each of different segments, in one pass, and draws the token after it.
    /// @return choices in the order of the steps, valid until the next call
    virtual std::span<const Choice> step(std::span<const DecodeStep> steps) = 0;
    /// Appends as `prefill` does and reads values: logits[i] behind the last token of runs[read[i]].
    virtual void values(std::span<const Append> runs, std::span<const std::int32_t> read,
                        const model::ReadOut& read_out, std::span<float> logits) = 0;
};

/// A matrix W_NK of a model that is adapted, and where its factors B_NR and A_RK lie in a flat array of their own.
struct Adapted {
    std::int64_t weight, a, b;
    int outputs, inputs;  ///< N, K
};
/// What learns of a model instead of its own parameters, in a flat array: factors, and copies of whole tensors.
struct Adapters {
    struct Whole {
        std::int64_t theirs, ours, size;  ///< where it lies in the model, and in that array
    };
    std::vector<Adapted> matrices;
    std::vector<Whole> whole;
    int rank = 0;     ///< R
    float scale = 0;  ///< s
};
/// Products of low rank where an engine's numbers lie. The engine must outlive them.
class AdapterProducts {
public:
    virtual ~AdapterProducts() = default;
    /// W = what it was at the beginning + s B A, of all matrices.
    virtual void merge(std::span<const float> values) = 0;
    /// The engine's backward pass, and of what was merged last dA += s B^T dW and dB += s dW A^T, with the gradient dW
    /// of a matrix, and that of whole tensors.
    virtual void backward(const model::Forest& forest, std::span<float> gradient) = 0;
};

/// A model on a device. Everything is local but `collect`, `reduce` and `update`, and what `collect_behind` names.
/// Calls of one engine never run at the same time.
class Engine {
public:
    virtual ~Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    [[nodiscard]] const model::ModelSpec& spec() const { return spec_; }
    [[nodiscard]] const model::Layout& layout() const { return layout_; }
    [[nodiscard]] std::int64_t num_parameters() const { return layout_.size; }

    /// The whole model in the form of others, with what it has learnt so far, which commits hold beside what learns;
    /// null: it is this one.
    [[nodiscard]] virtual Engine* body() { return nullptr; }

    // Numbers, for loading, commits and export. Ranges lie within [0, num_parameters()). What another rank keeps is
    // written to nobody and can't be read (BugError).
    [[nodiscard]] virtual bool has(Array array) const = 0;
    virtual void read(Array array, std::int64_t first, std::span<float> out) const = 0;
    virtual void write(Array array, std::int64_t first, std::span<const float> values) = 0;

    // Passes over a token forest.
    /// Normed last hidden states of the given tokens (indices into the flat run).
    virtual Rows forward(const model::Forest& forest, std::span<const std::int32_t> rows, Keep keep) = 0;
    /// log softmax(logits / temperature)[target] of each row, and the entropy in nats. Rows may be the first of a pass.
    virtual void token_logprobs(Rows rows, std::span<const std::int32_t> targets, float temperature,
                                std::span<float> logp, std::span<float> entropy) = 0;
    /// All logits_V of one row.
    virtual void token_logits(Rows rows, int row, std::span<float> logits) = 0;
    /// Value logits of all rows, as the read-out says. @throws BugError if the model lacks the head
    virtual void values(Rows rows, const model::ReadOut& read_out, std::span<float> logits) = 0;
    /// The hidden states of all rows, `width` numbers each. @throws BugError from engines that don't give them away
    virtual void features(Rows rows, std::span<float> out);
    /// A pass that leaves these hidden states, as features() gave them: heads may be read and learn from it, the body
    /// can't. @throws BugError likewise
    virtual Rows with_features(std::span<const float> features);
    /// A cache for `max_tokens` tokens, each segment's rounded up to whole pages. `sampler` says how tokens are drawn.
    /// The engine must outlive it.
    [[nodiscard]] virtual std::unique_ptr<Decoder> decoder(std::int64_t max_tokens, const SamplerOptions& sampler) = 0;
    /// Of an engine that trains with UnitGradient::alone; null: the host does them.
    [[nodiscard]] virtual std::unique_ptr<AdapterProducts> adapter_products(const Adapters&) { return nullptr; }
    /// Gives back the memory that passes take, and, unless this model trains, that of its weights, which lie in the
    /// host's memory until the next pass brings all back: the same bits. Caches stay; rows of earlier passes are gone.
    /// Does nothing on processors.
    virtual void rest() {}

    // Training. An update: begin_update, then for each unit of this rank begin_unit, forward with activations, one of
    // the losses, backward, end_unit; then collect, reduce and update. With Sum::dealt collect follows each round of at
    // most one unit a rank.
    /// Makes gradient, sum and moments; with bf16 weights also master weights from the weights, which are rounded.
    virtual void begin_training(const TrainingSetup& setup) = 0;
    virtual void begin_update() = 0;
    virtual void begin_unit() = 0;
    /// As token_logprobs, and in the same pass the gradient of the head and of the rows: calls `loss` for each row in
    /// order and multiplies the log-prob's gradient by what it returns.
    virtual void token_loss(Rows rows, std::span<const std::int32_t> targets, float temperature,
                            const TokenLoss& loss) = 0;
    /// Gradient of a value head of one row, given d loss / d logit of each row.
    virtual void value_loss(Rows rows, std::span<const float> d_logits) = 0;
    /// From the rows' gradient to that of all parameters below the head. At most once a unit.
    virtual void backward(const model::Forest& forest) = 0;
    /// Adds the unit to the sum. @return the squared norm of its gradient
    /// @throws DataError naming `unit` if a value can't be summed exactly (comm::ExactSum)
    virtual double end_unit(std::string_view unit) = 0;
    /// The next unit is this rank's last one before `collect`, part of which may happen behind its backward pass: that
    /// and end_unit are collective then. A rank whose unit fails goes on with `collect`. Needed before each unit with
    /// Sum::dealt.
    virtual void collect_behind(comm::Communicator&) {}
    /// Collective. Adds the units that were ended to the totals of those who need them; engines may leave that to
    /// `reduce` where every rank holds totals of its own.
    virtual void collect(comm::Communicator& ranks) = 0;
    /// Collective. The gradient of the whole update, on the ranks that keep its parts. @return its norm, the same bits
    /// on every rank; with exact sums on any number of ranks @throws DataError on every rank if the exact total may
    /// overflow
    virtual double reduce(comm::Communicator& ranks) = 0;
    /// Collective. New weights on every rank.
    virtual void update(const AdamWStep& step, comm::Communicator& ranks) = 0;

protected:
    /// @param spec as resolved()
    explicit Engine(const model::ModelSpec& spec) : spec_(spec), layout_(spec) {}
    /// @param layout of what learns, where that isn't the model's own parameters
    Engine(model::ModelSpec spec, model::Layout layout) : spec_(std::move(spec)), layout_(std::move(layout)) {}

private:
    model::ModelSpec spec_;
    model::Layout layout_;
};

/// An engine whose weights are zero, on the device in use (devices.hpp).
/// @param spec as resolved() @param use with `passes` begin_training isn't possible, and reading weights gives those
/// that products are computed with
[[nodiscard]] std::unique_ptr<Engine> make_engine(const model::ModelSpec& spec, model::Use use = model::Use::training);

}  // namespace tdrm::engine
