#include "tdrm/rollout/search_policy.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "tdrm/base/errors.hpp"

namespace tdrm::rollout {
namespace {

SearchNode& at(SearchTree& tree, std::int32_t node) { return tree.nodes[static_cast<std::size_t>(node)]; }
const SearchNode& at(const SearchTree& tree, std::int32_t node) { return tree.nodes[static_cast<std::size_t>(node)]; }
std::int32_t size(const SearchTree& tree) { return static_cast<std::int32_t>(tree.nodes.size()); }

double probability(double logit) { return 1 / (1 + std::exp(-logit)); }
/// log sigmoid(logit), without overflow.
double log_probability(double logit) { return std::min(logit, 0.0) - std::log1p(std::exp(-std::abs(logit))); }

/// Greedy searches beside each other; one of them is the greedy search.
class Greedy final : public SearchPolicy {
public:
    Greedy(int trees, int branch) : branch_(branch), paths_(static_cast<std::size_t>(trees)) {}

    std::vector<Expansion> expand(SearchTree& tree) override {
        if (tree.nodes.empty()) return {{kRoot, branch_ * static_cast<int>(paths_.size())}};
        std::vector<Expansion> round;
        for (const Path& path : paths_)
            if (path.live) round.push_back({path.node, branch_});
        return round;
    }

    void update(SearchTree& tree, std::int32_t first) override {
        for (Path& path : paths_) {
            if (!path.live) continue;
            step(tree, path, first);
            first += branch_;
        }
    }

    [[nodiscard]] std::vector<std::int32_t> open() const override {
        std::vector<std::int32_t> nodes;
        for (const Path& path : paths_)
            if (path.live) nodes.push_back(path.node);
        return nodes;
    }

    /// Of each tree the terminal node of largest value, the later of equals.
    [[nodiscard]] std::vector<SearchCandidate> candidates(const SearchTree&) const override {
        std::vector<SearchCandidate> found;
        for (const Path& path : paths_)
            if (path.best >= 0) found.push_back({path.best});
        return found;
    }

private:
    struct Path {
        std::int32_t node = kRoot;
        std::int32_t best = -1;  ///< terminal node
        bool live = true;
    };

    void step(SearchTree& tree, Path& path, std::int32_t first) const {
        std::int32_t chosen = -1;
        for (std::int32_t n = first; n < first + branch_; ++n) {
            if (at(tree, n).terminal) {
                if (path.best < 0 || at(tree, n).value >= at(tree, path.best).value) path.best = n;
            } else if (chosen < 0 || at(tree, n).value > at(tree, chosen).value) {
                chosen = n;
            }
        }
        path.live = chosen >= 0;
        path.node = chosen;
        if (path.live) at(tree, chosen).visits = 1;
    }

    int branch_;
    std::vector<Path> paths_;
};

/// Ends when N answers are there. Equal siblings count once.
class Beam final : public SearchPolicy {
public:
    Beam(int paths, int branch) : paths_(paths), branch_(branch) {}

    std::vector<Expansion> expand(SearchTree& tree) override {
        if (tree.nodes.empty()) return {{kRoot, paths_}};
        std::vector<Expansion> round;
        for (const std::int32_t node : beams_) round.push_back({node, branch_});
        return round;
    }

    void update(SearchTree& tree, std::int32_t first) override {
        std::vector<std::int32_t> live;
        for (std::int32_t n = first; n < size(tree); ++n) {
            if (is_repeated(tree, first, n)) continue;
            if (at(tree, n).terminal) {
                answers_.push_back({n});
            } else {
                live.push_back(n);
            }
        }
        std::stable_sort(live.begin(), live.end(),
                         [&](std::int32_t a, std::int32_t b) { return at(tree, a).value > at(tree, b).value; });
        live.resize(std::min(live.size(), static_cast<std::size_t>(paths_ / branch_)));
        if (std::ssize(answers_) >= paths_) live.clear();
        beams_ = std::move(live);
        for (const std::int32_t node : beams_) at(tree, node).visits = 1;
    }

    [[nodiscard]] std::vector<std::int32_t> open() const override { return beams_; }
    [[nodiscard]] std::vector<SearchCandidate> candidates(const SearchTree&) const override { return answers_; }

private:
    static bool is_repeated(const SearchTree& tree, std::int32_t first, std::int32_t node) {
        for (std::int32_t n = node - 1; n >= first && at(tree, n).parent == at(tree, node).parent; --n)
            if (at(tree, n).ids == at(tree, node).ids) return true;
        return false;
    }

    int paths_, branch_;
    std::vector<std::int32_t> beams_{kRoot};
    std::vector<SearchCandidate> answers_;
};

/// Twisted sequential Monte Carlo (arXiv 2502.01618): the weights are exact if V is a martingale under the policy.
/// Systematic resampling where the effective sample size, (sum w)^2 / sum w^2, is below N / 2; particles that ended
/// take part in it.
class Particles final : public SearchPolicy {
public:
    Particles(int particles, double exponent, std::uint64_t seed, std::uint64_t problem)
        : exponent_(exponent), seed_(seed), problem_(problem), particles_(static_cast<std::size_t>(particles)) {}

    std::vector<Expansion> expand(SearchTree& tree) override {
        std::vector<Expansion> round;
        for (const std::int32_t node : live_nodes(tree)) {
            const auto here = [&](const Particle& p) { return p.node == node; };
            round.push_back({node, static_cast<int>(std::count_if(particles_.begin(), particles_.end(), here))});
        }
        return round;
    }

    void update(SearchTree& tree, std::int32_t first) override {
        // Children of a node go to its particles in their order.
        std::map<std::int32_t, std::int32_t> next;
        for (std::int32_t n = first; n < size(tree); ++n) next.try_emplace(at(tree, n).parent, n);
        for (Particle& particle : particles_) {
            const auto child = next.find(particle.node);
            if (child == next.end()) continue;
            // V of the prompt is the same for all, and cancels.
            const double before = particle.node == kRoot ? 0 : log_probability(at(tree, particle.node).value);
            particle.node = child->second++;
            particle.log_weight += exponent_ * (log_probability(at(tree, particle.node).value) - before);
        }
        note_weights(tree);
        if (!live_nodes(tree).empty() && effective_size() < static_cast<double>(particles_.size()) / 2) resample();
        ++round_;
        for (auto& node : tree.nodes) node.visits = 0;
        for (const Particle& particle : particles_) ++at(tree, particle.node).visits;
        live_ = live_nodes(tree);
    }

    [[nodiscard]] std::vector<std::int32_t> open() const override { return live_; }

    [[nodiscard]] std::vector<SearchCandidate> candidates(const SearchTree& tree) const override {
        const auto weights = weights_now();
        std::vector<SearchCandidate> found;
        for (std::size_t i = 0; i < particles_.size(); ++i)
            if (particles_[i].node >= 0 && at(tree, particles_[i].node).terminal)
                found.push_back({particles_[i].node, weights[i]});
        return found;
    }

private:
    struct Particle {
        std::int32_t node = kRoot;
        double log_weight = 0;
    };

    /// Nodes of particles that go on, each once, in the order of the particles.
    [[nodiscard]] std::vector<std::int32_t> live_nodes(const SearchTree& tree) const {
        std::vector<std::int32_t> nodes;
        for (const Particle& particle : particles_) {
            if (particle.node >= 0 && at(tree, particle.node).terminal) continue;
            if (std::find(nodes.begin(), nodes.end(), particle.node) == nodes.end()) nodes.push_back(particle.node);
        }
        return nodes;
    }

    /// They add up to 1.
    [[nodiscard]] std::vector<double> weights_now() const {
        double largest = particles_[0].log_weight, sum = 0;
        for (const Particle& particle : particles_) largest = std::max(largest, particle.log_weight);
        std::vector<double> weights;
        for (const Particle& particle : particles_) {
            weights.push_back(std::exp(particle.log_weight - largest));
            sum += weights.back();
        }
        for (double& weight : weights) weight /= sum;
        return weights;
    }

    [[nodiscard]] double effective_size() const {
        double squares = 0;
        for (const double weight : weights_now()) squares += weight * weight;
        return 1 / squares;
    }

    void note_weights(SearchTree& tree) const {
        const auto weights = weights_now();
        std::map<std::int32_t, double> on;
        for (std::size_t i = 0; i < particles_.size(); ++i) on[particles_[i].node] += weights[i];
        for (const auto& [node, weight] : on) at(tree, node).weight = static_cast<float>(weight);
    }

    /// Particle i becomes the one on whose stretch of the sum of weights (u + i) / N lies.
    void resample() {
        const auto weights = weights_now();
        const auto n = static_cast<double>(particles_.size());
        const double u = Random(random_key(seed_, "resample", problem_, round_)).uniform(0);
        std::vector<Particle> drawn;
        std::size_t from = 0;
        double below = weights[0];
        for (std::size_t i = 0; i < particles_.size(); ++i) {
            const double point = (u + static_cast<double>(i)) / n;
            while (point >= below && from + 1 < weights.size()) below += weights[++from];
            drawn.push_back({particles_[from].node, 0});
        }
        particles_ = std::move(drawn);
    }

    double exponent_;
    std::uint64_t seed_, problem_, round_ = 0;
    std::vector<Particle> particles_;
    std::vector<std::int32_t> live_{kRoot};
};

/// PUCT with a uniform prior, since children are draws of the policy: Q + c / children * sqrt(N(parent)) / (1 + N). A
/// simulation continues one node; the value of each new child goes up to the root. One that arrives at an end sends
/// that value up again.
class MonteCarloTree final : public SearchPolicy {
public:
    MonteCarloTree(int simulations, int branch, double exploration)
        : left_(simulations), branch_(branch), exploration_(exploration) {}

    std::vector<Expansion> expand(SearchTree& tree) override {
        while (left_ > 0) {
            --left_;
            const std::int32_t node = select(tree);
            if (node == kRoot || !at(tree, node).terminal) {
                open_.erase(std::find(open_.begin(), open_.end(), node));
                return {{node, branch_}};
            }
            back_up(tree, node, probability(at(tree, node).value));
        }
        return {};
    }

    void update(SearchTree& tree, std::int32_t first) override {
        stats_.resize(tree.nodes.size() + 1);
        stats(at(tree, first).parent).first_child = first;
        for (std::int32_t n = first; n < size(tree); ++n) {
            if (!at(tree, n).terminal) open_.push_back(n);
            back_up(tree, n, probability(at(tree, n).value));
        }
    }

    [[nodiscard]] std::vector<std::int32_t> open() const override { return open_; }

private:
    struct Stats {
        std::int32_t first_child = -1;
        std::int32_t visits = 0;
        double sum = 0;
    };
    [[nodiscard]] Stats& stats(std::int32_t node) { return stats_[static_cast<std::size_t>(node + 1)]; }

    [[nodiscard]] std::int32_t select(const SearchTree&) {
        std::int32_t node = kRoot;
        while (stats(node).first_child >= 0) {
            const Stats parent = stats(node);
            double best = -1;
            for (std::int32_t n = parent.first_child; n < parent.first_child + branch_; ++n) {
                const Stats& child = stats(n);
                const double score =
                    child.sum / child.visits + exploration_ / branch_ * std::sqrt(parent.visits) / (1 + child.visits);
                if (score <= best) continue;
                best = score;
                node = n;
            }
        }
        return node;
    }

    void back_up(SearchTree& tree, std::int32_t node, double value) {
        for (;; node = at(tree, node).parent) {
            stats(node).visits += 1;
            stats(node).sum += value;
            if (node == kRoot) return;
            at(tree, node).visits = stats(node).visits;
        }
    }

    int left_, branch_;
    double exploration_;
    std::vector<Stats> stats_ = std::vector<Stats>(1);  ///< of the root, then of the nodes
    std::vector<std::int32_t> open_{kRoot};
};

}  // namespace

std::vector<SearchCandidate> SearchPolicy::candidates(const SearchTree& tree) const {
    std::vector<SearchCandidate> found;
    for (std::int32_t n = 0; n < size(tree); ++n)
        if (at(tree, n).terminal) found.push_back({n});
    return found;
}

std::unique_ptr<SearchPolicy> make_search_policy(const SearchPlan& plan, std::uint64_t problem) {
    switch (plan.kind) {
        case SearchKind::greedy:
            return std::make_unique<Greedy>(1, plan.branch);
        case SearchKind::dvts:
            return std::make_unique<Greedy>(plan.paths / plan.branch, plan.branch);
        case SearchKind::beam:
            return std::make_unique<Beam>(plan.paths, plan.branch);
        case SearchKind::smc:
            return std::make_unique<Particles>(plan.paths, plan.exponent, plan.seed, problem);
        case SearchKind::mcts:
            return std::make_unique<MonteCarloTree>(plan.simulations, plan.branch, plan.exploration);
    }
    throw BugError("a kind of search without a search");
}

std::int32_t choose_answer(SearchAnswer rule, const SearchTree& tree, const std::vector<SearchCandidate>& candidates,
                           const std::vector<std::int32_t>& answers) {
    std::map<std::int32_t, double> votes;
    if (rule != SearchAnswer::best)
        for (const SearchCandidate& c : candidates) {
            const std::int32_t answer = answers[static_cast<std::size_t>(c.node)];
            const double counts = rule == SearchAnswer::vote ? 1 : probability(at(tree, c.node).value);
            if (answer >= 0) votes[answer] += c.weight * counts;
        }
    double most = 0;
    for (const auto& [answer, sum] : votes) most = std::max(most, sum);
    std::int32_t best = -1;
    for (const SearchCandidate& c : candidates) {
        if (!votes.empty()) {
            const auto vote = votes.find(answers[static_cast<std::size_t>(c.node)]);
            if (vote == votes.end() || vote->second < most) continue;
        }
        if (best < 0 || at(tree, c.node).value > at(tree, best).value ||
            (at(tree, c.node).value == at(tree, best).value && c.node > best))
            best = c.node;
    }
    return best;
}

}  // namespace tdrm::rollout
