// Which problems belong to which split.
#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_map>

#include "normal_text.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/task/text/text_files.hpp"

namespace tdrm::task {
namespace {

/// A file's problems, and what is left of them.
struct Pool {
    std::vector<TextProblem> problems;
    std::vector<std::string> owner;     ///< split that named the row; "" if none did
    std::vector<std::size_t> shuffled;  ///< rows that no split named
    std::size_t given = 0;              ///< how many of them are gone
};

struct RowRange {
    std::size_t first;
    std::size_t last;
};

RowRange parse_rows(const std::string& split, const std::string& rows) {
    const std::size_t dash = rows.find('-');
    const auto number = [&](const std::string& text) -> std::size_t {
        if (text.empty() || text.size() > 12 || text.find_first_not_of("0123456789") != std::string::npos)
            throw ConfigError(cat("splits.", split, ".rows: \"", rows,
                                  "\" isn't a range of rows (nothing can be read). Write 0-99 for "
                                  "the first hundred."));
        return std::stoull(text);
    };
    const std::size_t first = number(rows.substr(0, dash));
    const std::size_t last = dash == std::string::npos ? first : number(rows.substr(dash + 1));
    if (last < first)
        throw ConfigError(
            cat("splits.", split, ".rows: ", rows, " ends before it begins. Write the smaller number first."));
    return {first, last};
}

TextSplit named_rows(const std::string& name, const TextSplitOptions& options, Pool& pool) {
    const RowRange range = parse_rows(name, options.rows);
    if (range.last >= pool.problems.size())
        throw ConfigError(cat("splits.", name, ".rows: ", options.rows, " aren't all there (the file ", options.file,
                              " has ", pool.problems.size(), " rows, from 0). Choose smaller numbers."));
    TextSplit split{name, {}};
    for (std::size_t row = range.first; row <= range.last; ++row) {
        if (!pool.owner[row].empty())
            throw ConfigError(cat("splits.", name, ".rows: row ", row, " of the file ", options.file,
                                  " is also in the split ", pool.owner[row],
                                  " (splits must be disjoint). Choose other rows."));
        pool.owner[row] = name;
        split.problems.push_back(pool.problems[row]);
    }
    return split;
}

void shuffle_rest(Pool& pool, const std::string& file, std::uint64_t seed) {
    for (std::size_t row = 0; row < pool.problems.size(); ++row)
        if (pool.owner[row].empty()) pool.shuffled.push_back(row);
    Random random(random_key(seed, "text splits " + file));
    for (std::size_t i = pool.shuffled.size(); i > 1; --i)
        std::swap(pool.shuffled[i - 1], pool.shuffled[random.next_below(i)]);
}

TextSplit drawn(const std::string& name, const TextSplitOptions& options, Pool& pool) {
    const std::size_t left = pool.shuffled.size() - pool.given;
    const auto wanted = options.problems > 0 ? static_cast<std::size_t>(options.problems) : left;
    if (wanted > left || left == 0)
        throw ConfigError(cat("splits.", name, ": it needs ", options.problems > 0 ? cat(wanted) : "some",
                              " problems, and the file ", options.file, " has ", left, " left of ",
                              pool.problems.size(), " (splits are disjoint). Ask for fewer."));
    std::vector<std::size_t> rows(pool.shuffled.begin() + static_cast<std::ptrdiff_t>(pool.given),
                                  pool.shuffled.begin() + static_cast<std::ptrdiff_t>(pool.given + wanted));
    pool.given += wanted;
    if (options.problems == 0) std::sort(rows.begin(), rows.end());
    TextSplit split{name, {}};
    for (const std::size_t row : rows) split.problems.push_back(pool.problems[row]);
    return split;
}

/// Looks for problems of a split that a later split has too; with `drop` they leave the earlier one.
void resolve_overlaps(std::vector<TextSplit>& splits, Overlap overlap, std::vector<std::string>& notes) {
    std::unordered_map<std::string, std::pair<std::size_t, std::string>> later;  // split and name of a problem
    for (std::size_t s = splits.size(); s-- > 0;) {
        std::map<std::size_t, std::pair<std::int64_t, std::string>> found;  // by the other split: count, example
        std::vector<TextProblem> kept;
        for (TextProblem& problem : splits[s].problems) {
            const auto twin = later.find(normal_text(problem.question));
            if (twin != later.end()) {
                auto& [count, example] = found[twin->second.first];
                if (count++ == 0) example = cat(problem.name, " and ", twin->second.second);
                if (overlap == Overlap::drop) continue;
            }
            kept.push_back(std::move(problem));
        }
        for (const auto& [other, what] : found) {
            const std::string text = cat(what.first, " problems of the split ", splits[s].name, " are in ",
                                         splits[other].name, " too, ", what.second, " for one");
            if (overlap == Overlap::error)
                throw DataError(cat(
                    text,
                    " (figures on problems that were learnt are too good). Set overlap: drop, or choose other rows."));
            notes.push_back(
                overlap == Overlap::drop
                    ? cat(text, ": dropped from ", splits[s].name, ".")
                    : cat(text,
                          " (figures on problems that were learnt are too good). Set task.overlap: drop to leave "
                          "them out of ",
                          splits[s].name, "."));
        }
        splits[s].problems = std::move(kept);
        for (std::size_t i = 0; i < splits[s].problems.size(); ++i)
            later.try_emplace(normal_text(splits[s].problems[i].question), s, splits[s].problems[i].name);
    }
}

}  // namespace

std::optional<std::int64_t> asked_size(const std::string& name, const TextSplitOptions& options) {
    if (options.rows.empty()) return options.problems > 0 ? std::optional(options.problems) : std::nullopt;
    const RowRange range = parse_rows(name, options.rows);
    return static_cast<std::int64_t>(range.last - range.first + 1);
}

std::vector<TextSplit> read_splits(const TextFilesOptions& options, std::uint64_t seed,
                                   std::vector<std::string>& notes) {
    std::map<std::string, Pool> pools;
    const auto pool_of = [&](const std::string& split, const std::string& file) -> Pool& {
        if (const auto known = pools.find(file); known != pools.end()) return known->second;
        std::vector<std::string> names;
        for (const auto& [name, entry] : options.files) {
            if (name == file) {
                Pool pool{read_problems(name, entry, options.root, notes), {}, {}};
                pool.owner.resize(pool.problems.size());
                return pools.emplace(name, std::move(pool)).first->second;
            }
            names.push_back(name);
        }
        throw ConfigError(cat("splits.", split, ".file: there is no file \"", file, "\" under task.files. ",
                              did_you_mean(file, names)));
    };
    std::vector<TextSplit> splits(options.splits.size());
    for (std::size_t s = 0; s < splits.size(); ++s) {
        const auto& [name, entry] = options.splits[s];
        Pool& pool = pool_of(name, entry.file);
        if (!entry.rows.empty()) splits[s] = named_rows(name, entry, pool);
    }
    for (auto& [file, pool] : pools) shuffle_rest(pool, file, seed);
    for (const bool rest : {false, true})
        for (std::size_t s = 0; s < splits.size(); ++s) {
            const auto& [name, entry] = options.splits[s];
            if (entry.rows.empty() && (entry.problems == 0) == rest)
                splits[s] = drawn(name, entry, pools.at(entry.file));
        }
    resolve_overlaps(splits, options.overlap, notes);
    return splits;
}

}  // namespace tdrm::task
