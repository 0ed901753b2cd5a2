// Optimiser state dealt out over ranks, on processors and on emulated devices: the bits of state that every rank keeps
// whole.
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "../../src/engine/device_engine.hpp"
#include "../../src/engine/device_exchange.hpp"
#include "forwarding_device.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/engine/ownership.hpp"
#include "toy_unit.hpp"

namespace tdrm::engine {
namespace {

constexpr int kUnits = 5, kUpdates = 2;
constexpr std::int64_t kPart = 700;  // the toy model has a few dozen of them

/// When an exchange beside what a device computes happens: as soon or as late as it may.
enum class Moment { soon, late };

/// An emulated device that exchanges with those of other ranks. Its memory is this process's, so MPI can.
class ConnectedDevice : public ForwardingDevice {
public:
    ConnectedDevice(comm::Communicator& ranks, int& exchanges, Moment moment = Moment::soon, std::string place = "")
        : ranks_(ranks),
          exchanges_(exchanges),
          moment_(moment),
          place_(place.empty() ? cat("device ", ranks.rank()) : place) {}
    [[nodiscard]] std::string place() const override { return place_; }
    [[nodiscard]] gpu::PeersId new_peers_id() const override { return {'i', 'd'}; }
    [[nodiscard]] std::unique_ptr<gpu::Peers> connect(const gpu::PeersId& id, int rank, int size) override {
        EXPECT_EQ(id[1], 'd') << "rank 0's";
        EXPECT_EQ(rank, ranks_.rank());
        EXPECT_EQ(size, ranks_.size());
        return std::make_unique<ByMpi>(ranks_, exchanges_, moment_);
    }

private:
    struct ByMpi final : gpu::Peers {
        ByMpi(comm::Communicator& ranks_, int& exchanges_, Moment moment_)
            : ranks(ranks_), exchanges(exchanges_), moment(moment_) {}
        void sum(std::int64_t* values, std::size_t n, int receiver) override {
            queue([=, this] { ranks.exact_sum({values, n}, receiver); });
        }
        void sum(float* values, std::size_t n, int receiver) override {
            queue([=, this] { ranks.fast_sum({values, n}, receiver); });
        }
        void broadcast(void* bytes, std::size_t n, int from) override {
            queue([=, this] { ranks.broadcast({static_cast<std::byte*>(bytes), n}, from); });
        }
        void join() override {
            for (const auto& exchange : std::exchange(queued, {})) exchange();
        }
        void wait() override { join(); }
        void queue(std::function<void()> exchange) {
            ++exchanges;
            queued.push_back(std::move(exchange));
            if (moment == Moment::soon) join();
        }
        comm::Communicator& ranks;
        int& exchanges;
        Moment moment;
        std::vector<std::function<void()>> queued;
    };
    comm::Communicator& ranks_;
    int& exchanges_;
    Moment moment_;
    std::string place_;
};

using Case = std::tuple<DeviceKind, Sum, WeightFormat, WeightFormat>;
class Shards : public testing::TestWithParam<Case> {
protected:
    /// An engine after a few updates, unit u of which is computed by rank u mod ranks.
    std::unique_ptr<Engine> trained(const Shard& shard, std::vector<double>& norms,
                                    UnitGradient gradient = UnitGradient::by_layer) {
        return trained(rollout::toy_model(model::Head::language, 1, std::get<0>(GetParam())), shard, norms, gradient);
    }
    std::unique_ptr<Engine> trained(std::unique_ptr<Engine> engine, const Shard& shard, std::vector<double>& norms,
                                    UnitGradient gradient = UnitGradient::by_layer) {
        const auto [kind, sum, weights, moments] = GetParam();
        engine->begin_training({weights, sum, {}, gradient, shard, Recompute::none, moments});
        for (int update = 0; update < kUpdates; ++update) {
            engine->begin_update();
            add_units(*engine, update * kUnits, gradient == UnitGradient::by_layer);
            norms.push_back(engine->reduce(ranks_));
            engine->update({.lr = 0.01, .weight_decay = 0.1, .update = update}, ranks_);
        }
        return engine;
    }
    /// In rounds of one a rank, as dealt sums need it; others collect twice an update, in the middle and at the end.
    void add_units(Engine& engine, int first, bool behind) {
        const bool dealt = std::get<1>(GetParam()) == Sum::dealt;
        for (int round = 0; round * ranks_.size() < kUnits; ++round) {
            const auto unit_of = [&](int in_round) { return in_round * ranks_.size() + ranks_.rank(); };
            const bool collects = dealt || round == 1 || (round + 1) * ranks_.size() >= kUnits;
            const bool last = collects || unit_of(round + 1) >= kUnits;
            if (unit_of(round) < kUnits) {
                if (behind && last) engine.collect_behind(ranks_);
                differentiate_toy(engine, first + unit_of(round), 12);
            }
            if (collects) engine.collect(ranks_);
        }
    }
    static std::vector<float> read(const Engine& engine, Array array, const Range& range) {
        std::vector<float> values(static_cast<std::size_t>(range.size()));
        engine.read(array, range.begin, values);
        return values;
    }

    comm::Communicator ranks_;
};

/// Each sum, each format of weights and each of moments, with either of the others.
std::vector<Case> cases() {
    using enum WeightFormat;
    std::vector<Case> all;
    for (const DeviceKind kind : {DeviceKind::cpu, DeviceKind::emulated})
        for (const auto& [sum, weights, moments] :
             {std::tuple{Sum::exact, fp32, fp32}, std::tuple{Sum::exact, bf16, bf16}, std::tuple{Sum::fast, fp32, fp32},
              std::tuple{Sum::dealt, bf16, fp32}, std::tuple{Sum::dealt, fp32, bf16}})
            all.emplace_back(kind, sum, weights, moments);
    return all;
}
INSTANTIATE_TEST_SUITE_P(All, Shards, testing::ValuesIn(cases()));

TEST_P(Shards, HaveTheBitsOfWholeState) {
    std::vector<double> whole_norms, norms;
    const int size = ranks_.size();
    // The same cut, by which norms are added.
    const auto whole = trained({0, 1, kPart}, whole_norms, UnitGradient::whole);
    const auto dealt = trained({ranks_.rank(), size, kPart}, norms);
    EXPECT_EQ(norms, whole_norms);
    const Ownership ownership(whole->num_parameters(), {ranks_.rank(), size, kPart});
    for (const Array array : {Array::weights, Array::first_moment, Array::second_moment, Array::master}) {
        ASSERT_EQ(dealt->has(array), whole->has(array));
        if (!whole->has(array)) continue;
        ownership.each({0, whole->num_parameters()}, [&](const Range& range) {
            EXPECT_EQ(read(*dealt, array, range), read(*whole, array, range)) << "from " << range.begin;
        });
    }
    // What is computed with is the same everywhere: a pass over the new weights.
    const std::vector<std::int32_t> tokens{1, 2, 3}, rows{0, 1}, targets{2, 3};
    const auto logprobs = [&](Engine& engine) {
        model::Forest forest;
        forest.add(tokens);
        std::vector<float> logp(2), entropy(2);
        engine.token_logprobs(engine.forward(forest, rows, Keep::nothing), targets, 1, logp, entropy);
        return logp;
    };
    EXPECT_EQ(logprobs(*dealt), logprobs(*whole));
}

TEST_P(Shards, HaveTheSameBitsWhereDevicesExchangeThemselves) {
    if (std::get<0>(GetParam()) == DeviceKind::cpu) return;
    std::vector<double> through_hosts, norms;
    const int size = ranks_.size();
    const Shard shard{ranks_.rank(), size, kPart};
    const auto expected = trained(shard, through_hosts);
    for (const Moment moment : {Moment::soon, Moment::late}) {
        int exchanges = 0;
        const auto start = rollout::toy_model(model::Head::language, 1, DeviceKind::emulated);
        auto engine =
            std::make_unique<DeviceEngine>(start->spec(), std::make_unique<ConnectedDevice>(ranks_, exchanges, moment));
        const Range all{0, start->num_parameters()};
        engine->write(Array::weights, 0, read(*start, Array::weights, all));
        norms.clear();
        const auto connected = trained(std::move(engine), shard, norms);
        EXPECT_EQ(norms, through_hosts);
        EXPECT_EQ(exchanges > 0, size > 1);
        Ownership(all.end, shard).each(all, [&](const Range& range) {
            EXPECT_EQ(read(*connected, Array::weights, range), read(*expected, Array::weights, range));
        });
    }
}

/// A rank whose unit fails somewhere collects what is left, so that the others aren't left waiting.
TEST_P(Shards, AreCollectedBesideARankThatFails) {
    const auto [kind, sum, weights, moments] = GetParam();
    const auto engine = rollout::toy_model(model::Head::language, 1, kind);
    engine->begin_training({weights, sum, {}, UnitGradient::by_layer, {ranks_.rank(), ranks_.size(), kPart}});
    engine->begin_update();
    engine->collect_behind(ranks_);
    if (ranks_.rank() == ranks_.size() - 1) {
        engine->begin_unit();  // and no more
    } else {
        differentiate_toy(*engine, ranks_.rank(), 12);
    }
    engine->collect(ranks_);
    const double norm = engine->reduce(ranks_);
    EXPECT_EQ(norm > 0, ranks_.size() > 1) << "of the others' units";
    EXPECT_TRUE(ranks_.all(std::isfinite(norm)));
}

/// One whose products fail once, after so many.
class FailingDevice final : public ConnectedDevice {
public:
    FailingDevice(comm::Communicator& ranks, int& exchanges, int& left, Moment moment)
        : ConnectedDevice(ranks, exchanges, moment), left_(left) {}
    void multiply(const gpu::Gemm& gemm) override {
        if (left_-- == 0) throw std::runtime_error("a product failed");
        ConnectedDevice::multiply(gemm);
    }

private:
    int& left_;
};

TEST_P(Shards, AreCollectedBesideARankThatFailsInItsBackwardPass) {
    const auto [kind, sum, weights, moments] = GetParam();
    if (kind == DeviceKind::cpu) return;
    for (const Moment moment : {Moment::soon, Moment::late}) {
        int exchanges = 0, left = -1;
        const auto start = rollout::toy_model(model::Head::language, 1, kind);
        DeviceEngine engine(start->spec(), std::make_unique<FailingDevice>(ranks_, exchanges, left, moment));
        engine.write(Array::weights, 0, read(*start, Array::weights, {0, start->num_parameters()}));
        engine.begin_training({weights, sum, {}, UnitGradient::by_layer, {ranks_.rank(), ranks_.size(), kPart}});
        engine.begin_update();
        engine.collect_behind(ranks_);
        if (ranks_.rank() == ranks_.size() - 1) {
            const std::vector<std::int32_t> tokens{1, 2, 3}, rows{0, 1}, targets{2, 3};
            model::Forest forest;
            forest.add(tokens);
            engine.begin_unit();
            engine.token_loss(engine.forward(forest, rows, Keep::activations), targets, 1,
                              [](int, float, float) { return -0.01F; });
            left = 10;  // a layer has eight
            EXPECT_THROW(engine.backward(forest), CommError);
        } else {
            differentiate_toy(engine, ranks_.rank(), 12);
        }
        engine.collect(ranks_);
        const double norm = engine.reduce(ranks_);
        EXPECT_GT(norm, 0);
        EXPECT_TRUE(std::isfinite(norm));
    }
}

/// One that can't be connected with others.
class LonelyDevice final : public ForwardingDevice {
public:
    explicit LonelyDevice(std::string place) : place_(std::move(place)) {}
    [[nodiscard]] std::string place() const override { return place_; }
    [[nodiscard]] gpu::PeersId new_peers_id() const override { return {}; }
    [[nodiscard]] std::unique_ptr<gpu::Peers> connect(const gpu::PeersId&, int, int) override {
        throw std::runtime_error("no network");
    }

private:
    std::string place_;
};

TEST(Exchange, IsOverWhereConnectingFailed) {
    comm::Communicator ranks;
    if (ranks.size() == 1) return;
    LonelyDevice device(cat("device ", ranks.rank()));
    DeviceExchange exchange(device);
    std::vector<float> values(5);
    EXPECT_THROW(exchange.sum(values.data(), values.size(), comm::kEverybody, ranks), CommError);
    // Without asking the others, who may be elsewhere.
    if (ranks.root()) {
        EXPECT_THROW(exchange.sum(values.data(), values.size(), comm::kEverybody, ranks), CommError);
    }
}

TEST(Peers, ArentSoughtWhereRanksShareADevice) {
    comm::Communicator ranks;
    int exchanges = 0;
    ConnectedDevice shared(ranks, exchanges, Moment::soon, "node0 00000000:01:00.0");
    EXPECT_EQ(connect_devices(ranks, shared), nullptr);
    const auto alone = gpu::emulated_device();
    EXPECT_EQ(connect_devices(ranks, *alone), nullptr);
}

TEST_P(Shards, AreReadByTheRankThatKeepsThem) {
    std::vector<double> norms;
    const int size = ranks_.size();
    const auto dealt = trained({ranks_.rank(), size, kPart}, norms);
    const std::int64_t foreign = kPart * ((ranks_.rank() + 1) % size);
    if (size > 1) {
        EXPECT_THROW((void)read(*dealt, Array::first_moment, {foreign, foreign + 5}), BugError);
    }
    // Loading hands every rank everything; it keeps its own.
    std::vector<float> values(static_cast<std::size_t>(dealt->num_parameters()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 100);  // as bf16, too
    dealt->write(Array::second_moment, 0, values);
    const std::int64_t own = kPart * ranks_.rank() + 3;
    EXPECT_EQ(read(*dealt, Array::second_moment, {own, own + 2}),
              (std::vector<float>{static_cast<float>(own % 100), static_cast<float>((own + 1) % 100)}));
}

TEST(Ownership, DealsPartsRoundAndPacksThem) {
    const Ownership second(45, {1, 2, 10});  // parts of 10, 10, 10, 10, 5: the second and the fourth
    EXPECT_TRUE(second.dealt());
    EXPECT_EQ(second.kept(), 20);
    EXPECT_EQ(second.owner(44), 0);
    EXPECT_TRUE(second.keeps(10));
    EXPECT_FALSE(second.keeps(20));
    EXPECT_EQ(second.place(13), 3);
    EXPECT_EQ(second.place(31), 11);
    std::vector<Range> stretches;
    second.each({5, 33}, [&](const Range& range) { stretches.push_back(range); });
    EXPECT_EQ(stretches, (std::vector<Range>{{10, 20}, {30, 33}}));
    EXPECT_FALSE(Ownership(15, {1, 3, 10}).dealt()) << "fewer parts than ranks";
    EXPECT_EQ(Ownership(15, {1, 3, 10}).kept(), 15);
}

}  // namespace
}  // namespace tdrm::engine
