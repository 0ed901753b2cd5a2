#include "tdrm/engine/ensemble.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/errors.hpp"

namespace tdrm::engine {
namespace {

[[noreturn]] void not_of_ensembles() { throw BugError("an ensemble computes values alone"); }

/// The same segments in the caches of all members.
class EnsembleDecoder final : public Decoder {
public:
    explicit EnsembleDecoder(std::vector<std::unique_ptr<Decoder>> members) : members_(std::move(members)) {}

    int open(int parent) override {
        const int segment = members_.front()->open(parent);
        for (std::size_t m = 1; m < members_.size(); ++m)
            ensure(members_[m]->open(parent) == segment, "members name segments alike");
        return segment;
    }
    void close(int segment) override {
        for (const auto& member : members_) member->close(segment);
    }
    [[nodiscard]] std::int64_t free_tokens() const override {
        std::int64_t least = members_.front()->free_tokens();
        for (const auto& member : members_) least = std::min(least, member->free_tokens());
        return least;
    }
    void prefill(std::span<const Append>) override { not_of_ensembles(); }
    void forget(int) override { not_of_ensembles(); }
    [[nodiscard]] Choice draw(int, const Random&, std::uint64_t) override { not_of_ensembles(); }
    std::span<const Choice> step(std::span<const DecodeStep>) override { not_of_ensembles(); }
    void values(std::span<const Append> runs, std::span<const std::int32_t> read, const model::ReadOut& read_out,
                std::span<float> logits) override {
        std::vector<std::vector<float>> of_members(members_.size(), std::vector<float>(logits.size()));
        for (std::size_t m = 0; m < members_.size(); ++m) members_[m]->values(runs, read, read_out, of_members[m]);
        std::ranges::copy(combined(of_members).logit, logits.begin());
    }

private:
    std::vector<std::unique_ptr<Decoder>> members_;
};

}  // namespace

EnsembleValue combined(std::span<const float> logits) {
    ensure(logits.size() >= 2, "an ensemble has at least two members");
    const auto chance = [](float logit) { return 1 / (1 + std::exp(-static_cast<double>(logit))); };
    const auto n = static_cast<double>(logits.size());
    double right = 0, wrong = 0, squares = 0;
    for (const float logit : logits) {
        right += chance(logit) / n;
        wrong += chance(-logit) / n;  // 1 - right would lose what is left of it where all are sure
    }
    for (const float logit : logits) squares += (chance(logit) - right) * (chance(logit) - right);
    return {static_cast<float>(std::log(right) - std::log(wrong)), static_cast<float>(std::sqrt(squares / (n - 1)))};
}

EnsembleValues combined(std::span<const std::vector<float>> logits_MS) {
    EnsembleValues result;
    std::vector<float> of_state(logits_MS.size());
    for (std::size_t s = 0; s < logits_MS.front().size(); ++s) {
        for (std::size_t m = 0; m < logits_MS.size(); ++m) of_state[m] = logits_MS[m][s];
        const EnsembleValue value = combined(of_state);
        result.logit.push_back(value.logit);
        result.deviation.push_back(value.deviation);
    }
    return result;
}

Ensemble::Ensemble(std::vector<std::unique_ptr<Engine>> members)
    : Engine(members.at(0)->spec()), members_(std::move(members)) {
    ensure(members_.size() >= 2 && spec().head == model::Head::value, "an ensemble has at least two value models");
    for (const auto& member : members_)
        ensure(member->num_parameters() == num_parameters(), "members of an ensemble have equal sizes");
}

Rows Ensemble::forward(const model::Forest& forest, std::span<const std::int32_t> rows, Keep keep) {
    ensure(keep == Keep::nothing, "members are trained one by one");
    rows_.clear();
    for (const auto& member : members_) rows_.push_back(member->forward(forest, rows, keep));
    return {static_cast<int>(rows.size()), ++passes_};
}

void Ensemble::values(Rows rows, const model::ReadOut& read_out, std::span<float> logits) {
    ensure(rows.pass == passes_, "values are of the last pass");
    std::vector<std::vector<float>> of_members(members_.size(), std::vector<float>(logits.size()));
    for (std::size_t m = 0; m < members_.size(); ++m) {
        Rows of_member = rows_[m];
        of_member.count = rows.count;
        members_[m]->values(of_member, read_out, of_members[m]);
    }
    std::ranges::copy(combined(of_members).logit, logits.begin());
}

std::unique_ptr<Decoder> Ensemble::decoder(std::int64_t max_tokens, const SamplerOptions& sampler) {
    std::vector<std::unique_ptr<Decoder>> decoders;
    for (const auto& member : members_) decoders.push_back(member->decoder(max_tokens, sampler));
    return std::make_unique<EnsembleDecoder>(std::move(decoders));
}

void Ensemble::rest() {
    for (const auto& member : members_) member->rest();
}

void Ensemble::read(Array, std::int64_t, std::span<float>) const { not_of_ensembles(); }
void Ensemble::write(Array, std::int64_t, std::span<const float>) { not_of_ensembles(); }
void Ensemble::token_logprobs(Rows, std::span<const std::int32_t>, float, std::span<float>, std::span<float>) {
    not_of_ensembles();
}
void Ensemble::token_logits(Rows, int, std::span<float>) { not_of_ensembles(); }
void Ensemble::begin_training(const TrainingSetup&) { not_of_ensembles(); }
void Ensemble::begin_update() { not_of_ensembles(); }
void Ensemble::begin_unit() { not_of_ensembles(); }
void Ensemble::token_loss(Rows, std::span<const std::int32_t>, float, const TokenLoss&) { not_of_ensembles(); }
void Ensemble::value_loss(Rows, std::span<const float>) { not_of_ensembles(); }
void Ensemble::backward(const model::Forest&) { not_of_ensembles(); }
double Ensemble::end_unit(std::string_view) { not_of_ensembles(); }
void Ensemble::collect(comm::Communicator&) { not_of_ensembles(); }
double Ensemble::reduce(comm::Communicator&) { not_of_ensembles(); }
void Ensemble::update(const AdamWStep&, comm::Communicator&) { not_of_ensembles(); }

std::unique_ptr<Engine> together(std::vector<std::unique_ptr<Engine>> members) {
    ensure(!members.empty(), "somebody must say the value");
    if (members.size() == 1) return std::move(members.front());
    return std::make_unique<Ensemble>(std::move(members));
}

}  // namespace tdrm::engine
