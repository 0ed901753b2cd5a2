#include "splits.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"

namespace tdrm::task {
namespace {

// Draws before a split is declared larger than the space. Half a second at most for 160k problems.
constexpr std::int64_t kDrawsAtLeast = 100'000;
constexpr std::int64_t kDrawsPerProblem = 20;
constexpr std::int64_t kMaxSplit = 100'000'000;  // its draws fit 32 bits

// Insertions, deletions, replacements and swaps of neighbours that turn a into b.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a.size()][b.size()];
}

}  // namespace

std::vector<std::string> validate_splits(const SplitSizes& sizes) {
    std::vector<std::string> problems;
    if (sizes.empty()) problems.emplace_back("splits: there is none (stages draw their problems from splits).");
    std::set<std::string> names;
    for (const auto& [name, size] : sizes) {
        if (name.empty()) problems.emplace_back("splits: a split has no name.");
        if (!names.insert(name).second) problems.push_back(cat("splits: '", name, "' is given twice."));
        if (size < 1 || size > kMaxSplit)
            problems.push_back(
                cat("splits: '", name, "' has ", size, " problems; it needs at least 1 and at most ", kMaxSplit, "."));
    }
    return problems;
}

Splits::Splits(const SplitSizes& sizes, const std::vector<std::string>& repeating, std::uint64_t seed,
               CanonicalDraw draw)
    : seed_(seed), draw_(std::move(draw)) {
    for (const auto& [name, size] : sizes) {
        const bool repeats = std::find(repeating.begin(), repeating.end(), name) != repeating.end();
        splits_.push_back({name, size, repeats, 0, hash64("split " + name), {}});
    }
    // Smallest first: each split takes the likely (easier) problems from those after it. So what is measured on is
    // drawn from all problems, and stays the same when a training split grows.
    std::vector<Split*> by_size;
    for (Split& split : splits_) by_size.push_back(&split);
    std::stable_sort(by_size.begin(), by_size.end(), [](const Split* a, const Split* b) { return a->size < b->size; });
    std::uint64_t first_id = 0;
    for (Split* split : by_size) {
        split->first_id = std::exchange(first_id, first_id + static_cast<std::uint64_t>(split->size));
        if (!split->repeating) fill(*split);
    }
    for (const Split& split : splits_) {
        if (split.repeating) (void)draw_repeating(split, 0);  // fails here rather than later if nothing is left
    }
}

Random Splits::stream(const Split& split, std::uint64_t draw, std::uint64_t attempt) const {
    return Random(RandomKey{seed_, split.purpose, draw, 0, attempt});
}

void Splits::fill(Split& split) {
    const auto limit = [](std::int64_t problems) { return kDrawsAtLeast + kDrawsPerProblem * problems; };
    std::int64_t draws = 0, in_vain = 0;  // since the last new problem
    while (std::ssize(split.draws) < split.size && draws < limit(split.size) &&
           in_vain < limit(std::ssize(split.draws))) {
        Random random = stream(split, static_cast<std::uint64_t>(draws), 0);
        const bool is_new = taken_.insert(draw_(random)).second;
        if (is_new) split.draws.push_back(static_cast<std::uint32_t>(draws));
        in_vain = is_new ? 0 : in_vain + 1;
        ++draws;
    }
    if (std::ssize(split.draws) < split.size)
        throw ConfigError(cat("the split '", split.name, "' asks for ", split.size, " problems, but only ",
                              split.draws.size(), " that no other split holds were found in ", draws,
                              " draws (splits are disjoint). Make it smaller, make the task larger, or name it in "
                              "'repeating' if it may hold a problem twice."));
}

Random Splits::draw_repeating(const Split& split, std::int64_t index) const {
    for (std::uint64_t attempt = 0; attempt < kDrawsAtLeast; ++attempt) {
        Random random = stream(split, static_cast<std::uint64_t>(index), attempt);
        if (Random trial = random; !taken_.contains(draw_(trial))) return random;
    }
    throw ConfigError(
        cat("no problem is left for the split '", split.name,
            "' (the other splits hold the whole space, and splits are disjoint). Make them smaller or the "
            "task larger."));
}

const Splits::Split& Splits::find(std::string_view name) const {
    for (const Split& split : splits_) {
        if (split.name == name) return split;
    }
    const Split* nearest = &splits_.front();
    std::string known;
    for (const Split& split : splits_) {
        if (edit_distance(split.name, name) < edit_distance(nearest->name, name)) nearest = &split;
        known += (known.empty() ? "" : ", ") + split.name;
    }
    throw ConfigError(
        cat("there is no split '", name, "' (the task has ", known, "). Did you mean '", nearest->name, "'?"));
}

std::pair<Random, std::uint64_t> Splits::at(std::string_view name, std::int64_t index) const {
    const Split& split = find(name);
    if (index < 0 || index >= split.size)
        throw DataError(cat("problem ", index, " of the split '", name, "' doesn't exist (it has ", split.size,
                            " problems). Use an index in [0, ", split.size, ")."));
    const std::uint64_t id = split.first_id + static_cast<std::uint64_t>(index);
    if (split.repeating) return {draw_repeating(split, index), id};
    return {stream(split, split.draws[static_cast<std::size_t>(index)], 0), id};
}

std::int64_t Splits::distinct(std::string_view name) const {
    const Split& split = find(name);
    if (!split.repeating) return split.size;
    std::unordered_set<std::uint64_t> seen;
    for (std::int64_t i = 0; i < split.size; ++i) {
        Random random = draw_repeating(split, i);
        seen.insert(draw_(random));
    }
    return std::ssize(seen);
}

std::vector<std::string> Splits::names() const {
    std::vector<std::string> names;
    for (const Split& split : splits_) names.push_back(split.name);
    return names;
}

}  // namespace tdrm::task
