#include "tdrm/train/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "tdrm/base/clock.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/progress.hpp"
#include "tdrm/base/words.hpp"
#include "tdrm/comm/session.hpp"
#include "tdrm/eval/noise_scale.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/train/state.hpp"
#include "tdrm/train/update_log.hpp"

namespace tdrm::train {

double Metrics::get(std::string_view name) const {
    for (const auto& [key, value] : entries_)
        if (key == name) return value;
    return std::numeric_limits<double>::quiet_NaN();
}

void CommitOptions::fields(Fields& f) {
    f("every", every, "at most this much work is at risk", above(0)).not_identity();
    f("at", at, "also commit after each multiple of this many updates, and keep those; 0 = never", between(0, 1e9))
        .not_identity();
    f("keep", keep, "newest commits kept while running, besides the best and the multiples of `at`", between(1, 1e9))
        .not_identity();
}

namespace {
constexpr const char* kCommitPrefix = "update-";
}

std::string commit_name(std::int64_t update) {
    std::string digits = std::to_string(update);
    if (digits.size() < 6) digits.insert(0, 6 - digits.size(), '0');
    return kCommitPrefix + digits;
}

namespace {

/// Seconds by phase of one update, all that happens in a phase included; the ledger has them without what is nested.
class Phases {
public:
    void next(ledger::Section phase) {
        end();
        phase_ = phase;
        begin_ = steady_seconds();
        section_.emplace(phase);
    }
    Metrics finish() {
        end();
        Metrics seconds;
        for (const auto& [phase, sum] : std::exchange(seconds_, {})) seconds.set(std::string(word_of(phase)), sum);
        return seconds;
    }

private:
    void end() {
        if (!section_) return;
        auto entry = std::find_if(seconds_.begin(), seconds_.end(), [&](const auto& of) { return of.first == phase_; });
        if (entry == seconds_.end()) entry = seconds_.insert(entry, {phase_, 0.0});
        entry->second += steady_seconds() - begin_;
        section_.reset();
    }

    ledger::Section phase_{};
    double begin_ = 0;
    std::optional<ledger::In> section_;
    std::vector<std::pair<ledger::Section, double>> seconds_;
};

/// What the ranks tell each other about an update: flags, then a record per unit.
struct UnitReport {
    std::size_t unit = 0;
    double samples = 0;
    double squared_norm = 0;  ///< of the first trainee's gradient
    std::vector<double> sums = {};
};

class Training {
public:
    Training(comm::Communicator& ranks, std::span<const Trainee> trainees, Objective& objective, Evaluation evaluation,
             const TrainerOptions& options)
        : ranks_(ranks),
          trainees_(trainees),
          kept_(trainees.begin(), trainees.end()),
          objective_(objective),
          evaluation_(std::move(evaluation)),
          options_(options),
          log_(options.directory, ranks.root()) {
        ensure(!trainees.empty(), "something is trained");
        for (const Trainee& companion : options.companions) kept_.push_back(companion);
        const auto sum = engine_sum(options.sum);
        engine::Shard shard;
        // What companions are made of is needed whole by every rank.
        if (options.companions.empty()) shard.rank = ranks.rank(), shard.ranks = ranks.size();
        for (const Trainee& trainee : trainees)
            trainee.engine.begin_training({trainee.precision.weights,
                                           sum,
                                           {},
                                           engine::UnitGradient::by_layer,
                                           shard,
                                           trainee.precision.recompute,
                                           trainee.precision.moments});
    }

    TrainingResult run() {
        resume();
        last_commit_ = steady_seconds();
        Progress progress(options_.label, options_.updates, state_.update);
        while (state_.update < options_.updates && !state_.stopped) {
            Metrics metrics = update();
            phases_.next(ledger::Section::eval);
            evaluate(metrics);
            phases_.next(ledger::Section::commit);
            log_.metrics(state_.update, metrics);
            const bool committed = commit_due();
            if (committed) commit();
            log_.timing(state_.update, phases_.finish());
            progress.update(state_.update, headline(metrics));
            if (stop_ && committed)
                ranks_.fail_together(
                    Preempted(cat("stopped ", comm::stop_reason(), " after update ", state_.update, " of ",
                                  options_.label, " (it is committed). Start the same command again to go on.")));
        }
        prune(true);
        return result();
    }

    /// Figures of an update that was made before, from a commit before it.
    Metrics again(const std::optional<std::filesystem::path>& commit, std::int64_t update_again) {
        if (commit) load(*commit);
        while (state_.update < update_again) (void)update();
        return update(Make::figures);
    }

private:
    /// What is made of a batch.
    enum class Make { update, figures };

    void resume() {
        const std::string found = ranks_.broadcast_text(
            ranks_.agree("looking for a commit", [&] { return ranks_.root() ? newest_commit() : ""; }));
        if (!found.empty()) {
            load(found);
            log::info(cat(options_.label, ": going on after update ", state_.update));
        }
        ranks_.agree("cutting the logs back to the commit", [&] { log_.cut(state_.update, state_.log); });
        prune(false);
    }

    void load(const std::filesystem::path& commit) {
        const auto checkpoint = store::load_checkpoint(ranks_, commit);
        ranks_.agree("loading a commit", [&] {
            state_ = load_state(checkpoint, kept_);
            if (!state_.objective.is_null()) objective_.restore(state_.objective);
        });
    }

    /// Local. The newest commit that is whole, with its metrics; "" if there is none.
    std::string newest_commit() {
        const auto newest = store::newest_valid_checkpoint(
            options_.directory, kCommitPrefix, [&](const std::filesystem::path& commit) -> std::string {
                try {
                    return log_damage(options_.directory, read_progress(store::Checkpoint(commit)).log);
                } catch (const Error& error) {
                    return error.what();
                }
            });
        for (const auto& damaged : newest.damaged) {
            log::warn(cat(damaged.directory.string(), " is damaged (", damaged.problems.front(), "), so ",
                          newest.directory ? "the commit before it is used." : "this part is computed again."));
            damaged_.insert(damaged.directory.filename().string());
        }
        return newest.directory ? newest.directory->string() : "";
    }

    /// One optimiser update on the global batch, or what would be logged of it.
    Metrics update(Make make = Make::update) {
        const std::int64_t u = state_.update;
        time_is_up_ = false;
        phases_.next(ledger::Section::batch);
        objective_.prepare(u);
        for (const Trainee& trainee : trainees_) trainee.engine.begin_update();
        std::vector<UnitReport> reports;
        do {
            phases_.next(ledger::Section::gradient);
            const std::vector<UnitReport> mine = differentiate();
            phases_.next(ledger::Section::sum);
            for (auto& report : gather(mine)) reports.push_back(std::move(report));
            phases_.next(ledger::Section::batch);
        } while (objective_.prepare_more());
        phases_.next(ledger::Section::sum);
        std::vector<double> norms;
        for (const Trainee& trainee : trainees_) norms.push_back(sum_gradients(trainee));
        phases_.next(ledger::Section::step);
        std::vector<double> rates;
        for (std::size_t i = 0; i < trainees_.size(); ++i) {
            const Trainee& trainee = trainees_[i];
            const std::int64_t own = u - trainee.begins;
            const auto step = adamw_step(trainee.optimizer, std::max<std::int64_t>(own, 0), trainee.horizon, norms[i]);
            if (own >= 0 && make == Make::update) trainee.engine.update(step, ranks_);
            rates.push_back(step.lr);
        }
        if (make == Make::update) {
            ++state_.update;
            if (ranks_.root()) ledger::count(ledger::Work::updates, 1);
        }
        return figures(reports, norms, rates);
    }

    /// Gradients of this rank's units, added up, and over the ranks as far as engines do that here.
    std::vector<UnitReport> differentiate() {
        const std::size_t units = objective_.units().size();
        std::vector<std::vector<std::size_t>> of_trainee(trainees_.size());
        for (std::size_t unit = 0; unit < units; ++unit) of_trainee[objective_.trainee_of(unit)].push_back(unit);
        std::vector<UnitReport> reports;
        if (options_.sum == SumMode::dealt) {
            for (std::size_t t = 0; t < trainees_.size(); ++t) in_rounds(of_trainee[t], trainees_[t], reports);
            return reports;
        }
        std::vector<std::size_t> all(units);
        std::iota(all.begin(), all.end(), 0);
        std::vector<Trainee> taught;  // others have nothing to exchange
        for (std::size_t t = 0; t < trainees_.size(); ++t)
            if (!of_trainee[t].empty()) taught.push_back(trainees_[t]);
        together(of_ranks(all)[rank()], taught, reports);
        return reports;
    }
    /// Who computes which of some units.
    [[nodiscard]] std::vector<std::vector<std::size_t>> of_ranks(std::span<const std::size_t> units) const {
        std::vector<double> costs;
        for (const std::size_t unit : units) costs.push_back(objective_.units().cost(unit));
        std::vector<std::vector<std::size_t>> of_rank(static_cast<std::size_t>(ranks_.size()));
        const auto owner = assign_units(costs, ranks_.size());
        for (std::size_t i = 0; i < units.size(); ++i) of_rank[static_cast<std::size_t>(owner[i])].push_back(units[i]);
        return of_rank;
    }
    [[nodiscard]] std::size_t rank() const { return static_cast<std::size_t>(ranks_.rank()); }
    /// A trainee's units, one a rank at a time.
    void in_rounds(std::span<const std::size_t> units, const Trainee& trainee, std::vector<UnitReport>& reports) {
        const auto of_rank = of_ranks(units);
        std::size_t rounds = 0;
        for (const auto& theirs : of_rank) rounds = std::max(rounds, theirs.size());
        const std::span<const std::size_t> mine = of_rank[rank()];
        for (std::size_t round = 0; round < rounds; ++round)
            together(round < mine.size() ? mine.subspan(round, 1) : mine.first(0), {&trainee, 1}, reports);
    }
    /// This rank's units of some trainees, then their sums over the ranks. A rank that fails goes on to where the
    /// others wait for it.
    void together(std::span<const std::size_t> units, std::span<const Trainee> taught,
                  std::vector<UnitReport>& reports) {
        std::exception_ptr failure;
        try {
            for (const std::size_t unit : units) {
                // Several trainees' backward passes have no order that all ranks share.
                if (taught.size() == 1 && unit == units.back()) taught.front().engine.collect_behind(ranks_);
                reports.push_back(differentiate(unit));
            }
        } catch (...) {
            failure = std::current_exception();
        }
        try {
            for (const Trainee& trainee : taught) trainee.engine.collect(ranks_);
        } catch (...) {
            if (failure) std::rethrow_exception(failure);  // a broken device's first words
            throw;
        }
        ranks_.agree("gradients", [&] {
            if (failure) std::rethrow_exception(failure);
        });
    }

    /// A device that fails, or has no room, is told of with the unit.
    UnitReport differentiate(std::size_t unit) {
        const std::string name = objective_.unit_name(unit);
        ranks_.working_on(name);
        try {
            return differentiate(unit, name);
        } catch (const ConfigError&) {
            std::throw_with_nested(ConfigError(cat("update ", state_.update, ", ", name)));
        } catch (const CommError&) {
            std::throw_with_nested(CommError(cat("update ", state_.update, ", ", name)));
        }
    }
    UnitReport differentiate(std::size_t unit, const std::string& name) {
        const std::size_t taught = objective_.trainee_of(unit);
        const Trainee& trainee = trainees_[taught];
        trainee.engine.begin_unit();
        UnitReport report{unit, objective_.units().samples(unit), 0, objective_.differentiate(unit).values()};
        const double squared = trainee.engine.end_unit(
            cat("update ", state_.update, ", ", trainee.name, trainee.name.empty() ? "" : ", ", name));
        if (taught == 0) {
            report.squared_norm = squared;
        } else {
            report.samples = 0;  // the noise scale is the first one's
        }
        return report;
    }

    /// All units' reports in canonical order, and the flags that every rank must see alike.
    std::vector<UnitReport> gather(const std::vector<UnitReport>& mine) {
        const bool due = ranks_.root() && steady_seconds() - last_commit_ >= options_.commit.every.value;
        std::vector<double> message{comm::stop_requested() ? 1.0 : 0.0, due ? 1.0 : 0.0};
        for (const UnitReport& report : mine) {
            message.push_back(static_cast<double>(report.unit));
            message.push_back(report.samples);
            message.push_back(report.squared_norm);
            message.push_back(static_cast<double>(report.sums.size()));
            message.insert(message.end(), report.sums.begin(), report.sums.end());
        }
        std::vector<UnitReport> reports(objective_.units().size());
        for (const auto& theirs : ranks_.all_gather(std::span<const double>(message))) {
            stop_ = stop_ || theirs[0] > 0;
            time_is_up_ = time_is_up_ || theirs[1] > 0;
            for (std::size_t at = 2; at < theirs.size();) {
                const auto unit = static_cast<std::size_t>(theirs[at]);
                const auto count = static_cast<std::ptrdiff_t>(theirs[at + 3]);
                const auto begin = theirs.begin() + static_cast<std::ptrdiff_t>(at) + 4;
                reports[unit] = {unit, theirs[at + 1], theirs[at + 2], {begin, begin + count}};
                at += 4 + static_cast<std::size_t>(count);
            }
        }
        return reports;
    }

    /// The gradient of the whole update; returns its norm.
    double sum_gradients(const Trainee& trainee) {
        const double norm = trainee.engine.reduce(ranks_);
        if (!std::isfinite(norm))
            ranks_.fail_together(DataError(cat("the gradient of update ", state_.update,
                                               " isn't finite (training can't go on). "
                                               "Lower the learning rate, or look at the data of this update.")));
        return norm;
    }

    Metrics figures(const std::vector<UnitReport>& reports, const std::vector<double>& norms,
                    const std::vector<double>& rates) const {
        Sums sums(objective_.sum_names());
        double samples = 0;
        for (const UnitReport& report : reports) {
            samples += report.samples;
            sums += Sums(objective_.sum_names(), report.sums);
        }
        Metrics metrics;
        objective_.metrics(sums, metrics);
        for (std::size_t i = 0; i < trainees_.size(); ++i) {
            const std::string prefix = trainees_[i].name.empty() ? "" : trainees_[i].name + "/";
            metrics.set(prefix + "grad_norm", norms[i]);
            metrics.set(prefix + "learning_rate", rates[i]);
        }
        const double norm = norms.front();
        std::vector<double> blocks;
        for (const UnitReport& report : reports)
            if (report.samples > 0) blocks.push_back(report.squared_norm * std::pow(samples / report.samples, 2));
        const double block_samples = blocks.empty() ? 0 : samples / static_cast<double>(blocks.size());
        const auto noise = eval::noise_scale(blocks, norm * norm, block_samples, samples);
        metrics.set("noise/gradient_squared", noise.gradient_squared);
        metrics.set("noise/trace", noise.trace);
        metrics.set("noise_scale", noise.simple());
        return metrics;
    }

    void evaluate(Metrics& metrics) {
        if (evaluation_.every <= 0 || !evaluation_.measure) return;
        if (state_.update % evaluation_.every != 0 && state_.update != options_.updates) return;
        const Metrics measured = evaluation_.measure(state_.update);
        metrics.append(measured, "eval/");
        const double figure = measured.get(evaluation_.by);
        // A figure that isn't defined (AUC where all outcomes are alike) is no best.
        const bool better =
            std::isfinite(figure) && (state_.best < 0 || (evaluation_.higher_is_better ? figure > state_.best_figure
                                                                                       : figure < state_.best_figure));
        state_.since_best = better ? 0 : state_.since_best + 1;
        if (better) {
            state_.best = state_.update;
            state_.best_figure = figure;
        }
        state_.stopped = (evaluation_.patience > 0 && state_.since_best >= evaluation_.patience) ||
                         (evaluation_.stop && evaluation_.stop());
    }

    [[nodiscard]] bool commit_due() const {
        const std::int64_t u = state_.update;
        const bool last = u == options_.updates || state_.stopped;
        const bool asked = options_.commit.at > 0 && u % options_.commit.at == 0;
        return last || ((asked || time_is_up_ || stop_ || state_.best == u) && objective_.resumable_at(u));
    }

    void commit() {
        ranks_.agree("writing the logs", [&] { state_.log = log_.flush(); });
        objective_.before_commit();
        state_.objective = objective_.state();
        save_state(ranks_, options_.directory / commit_name(state_.update), state_, kept_, options_.body);
        damaged_.erase(commit_name(state_.update));
        last_commit_ = steady_seconds();
        prune(false);
    }

    /// Removes commits that nobody needs. What remains at the end doesn't depend on when commits happened. Damaged ones
    /// don't count among those to keep, and go once training has passed them.
    void prune(bool finished) {
        ranks_.agree("removing old commits", [&] {
            if (!ranks_.root()) return;
            auto updates = committed_updates(options_.directory);
            std::erase_if(updates, [&](std::int64_t u) { return u > state_.update; });
            std::reverse(updates.begin(), updates.end());  // newest first
            int keep = finished ? 1 : options_.commit.keep;
            for (const std::int64_t u : updates) {
                const bool damaged = damaged_.contains(commit_name(u));
                const bool newest = !damaged && keep-- > 0;
                const bool asked = options_.commit.at > 0 && u % options_.commit.at == 0;
                if (damaged || (!newest && !asked && u != state_.best))
                    store::remove_directory(options_.directory / commit_name(u));
            }
        });
    }

    [[nodiscard]] std::string headline(const Metrics& metrics) const {
        std::string text;
        for (const std::string& name : options_.headline) {
            const double value = metrics.get(name);
            if (!std::isnan(value)) shown_[name] = value;
            if (!shown_.contains(name)) continue;
            char figure[64];
            std::snprintf(figure, sizeof figure, "%s%s %.3g", text.empty() ? "" : ", ", name.c_str(), shown_[name]);
            text += figure;
        }
        return text;
    }

    [[nodiscard]] TrainingResult result() const { return {state_.update, state_.best, state_.best_figure}; }

    comm::Communicator& ranks_;
    std::span<const Trainee> trainees_;
    std::vector<Trainee> kept_;  ///< in commits: trainees and companions
    Objective& objective_;
    Evaluation evaluation_;
    const TrainerOptions& options_;
    UpdateLog log_;
    TrainingState state_;
    Phases phases_;
    std::set<std::string> damaged_;  ///< commits that were passed over, on rank 0
    double last_commit_ = 0;
    bool stop_ = false, time_is_up_ = false;
    mutable std::map<std::string, double> shown_;
};

}  // namespace

TrainingResult train(comm::Communicator& ranks, std::span<const Trainee> trainees, Objective& objective,
                     const Evaluation& evaluation, const TrainerOptions& options) {
    return Training(ranks, trainees, objective, evaluation, options).run();
}

Metrics figures_again(comm::Communicator& ranks, std::span<const Trainee> trainees, Objective& objective,
                      const TrainerOptions& options, const std::optional<std::filesystem::path>& commit,
                      std::int64_t update) {
    return Training(ranks, trainees, objective, {}, options).again(commit, update);
}

}  // namespace tdrm::train
