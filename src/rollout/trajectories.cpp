#include "tdrm/rollout/trajectories.hpp"

#include <algorithm>
#include <cstring>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"

namespace tdrm::rollout {
namespace {

/// Calls visit(dataset name, vector) for every array, in the one order that files and messages use.
template <class Table, class Visit>
void for_arrays(Table& t, Visit&& visit) {
    visit("problem/index", t.problem_index);
    visit("problem/id", t.problem_id);
    visit("problem/answer", t.problem_answer);
    visit("problem/prompt_offset", t.prompt_offset);
    visit("problem/prompt_token", t.prompt_token);
    visit("trajectory/problem", t.problem);
    visit("trajectory/visit", t.visit);
    visit("trajectory/sample", t.sample);
    visit("trajectory/token_offset", t.token_offset);
    visit("trajectory/step_offset", t.step_offset);
    visit("trajectory/outcome", t.outcome);
    visit("trajectory/finish", t.finish);
    visit("trajectory/verdict_reason", t.verdict_reason);
    visit("trajectory/answer", t.answer);
    visit("token/id", t.token);
    visit("token/logprob", t.logprob);
    visit("token/logprob_sampled", t.logprob_sampled);
    visit("step/end", t.step_end);
}

template <class T>
std::span<const T> slice(const std::vector<T>& values, std::int64_t begin, std::int64_t end) {
    return std::span(values).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

template <class T>
void extend(std::vector<T>& to, const std::vector<T>& from) {
    to.insert(to.end(), from.begin(), from.end());
}

void put(std::string& bytes, const void* data, std::size_t n) { bytes.append(static_cast<const char*>(data), n); }
void put_count(std::string& bytes, std::size_t n) {
    const auto count = static_cast<std::uint64_t>(n);
    put(bytes, &count, sizeof count);
}

/// Reads what put wrote; the ranks run the same program, so a short message is a bug.
struct Parcel {
    std::string_view bytes;
    void get(void* data, std::size_t n) {
        ensure(bytes.size() >= n, "a parcel of trajectories is too short");
        if (n == 0) return;  // an empty vector may have no place at all
        std::memcpy(data, bytes.data(), n);
        bytes.remove_prefix(n);
    }
    std::size_t count() {
        std::uint64_t n = 0;
        get(&n, sizeof n);
        return n;
    }
};

bool offsets_fit(const std::vector<std::int64_t>& offsets, std::size_t rows, std::size_t total) {
    return offsets.size() == rows + 1 && offsets.front() == 0 && offsets.back() == static_cast<std::int64_t>(total) &&
           std::is_sorted(offsets.begin(), offsets.end());
}

}  // namespace

task::TokenSpan Trajectories::prompt(std::size_t row) const {
    return slice(prompt_token, prompt_offset[row], prompt_offset[row + 1]);
}
task::TokenSpan Trajectories::ids(std::size_t row) const {
    return slice(token, token_offset[row], token_offset[row + 1]);
}
std::span<const float> Trajectories::logprobs(std::size_t row) const {
    return slice(logprob, token_offset[row], token_offset[row + 1]);
}
std::span<const std::int32_t> Trajectories::step_ends(std::size_t row) const {
    return slice(step_end, step_offset[row], step_offset[row + 1]);
}

std::vector<std::pair<std::size_t, std::size_t>> Trajectories::groups() const {
    std::vector<std::pair<std::size_t, std::size_t>> result(num_problems(), {0, 0});
    for (std::size_t row = 0; row < size();) {
        std::size_t end = row + 1;
        while (end < size() && problem[end] == problem[row]) ++end;
        result[static_cast<std::size_t>(problem[row])] = {row, end};
        row = end;
    }
    return result;
}

task::Problem Trajectories::problem_of(std::size_t row) const {
    const auto p = static_cast<std::size_t>(problem[row]);
    const auto tokens = prompt(p);
    return {static_cast<std::uint64_t>(problem_id[p]), {tokens.begin(), tokens.end()}, problem_answer[p]};
}

void Trajectories::add_problem(std::int64_t index, const task::Problem& p) {
    problem_index.push_back(index);
    problem_id.push_back(static_cast<std::int64_t>(p.id));
    problem_answer.push_back(p.answer);
    prompt_token.insert(prompt_token.end(), p.prompt.begin(), p.prompt.end());
    prompt_offset.push_back(static_cast<std::int64_t>(prompt_token.size()));
}

void Trajectories::add(const Trajectory& t) {
    problem.push_back(static_cast<std::int32_t>(num_problems()) - 1);
    visit.push_back(t.visit);
    sample.push_back(t.sample);
    extend(token, t.ids);
    extend(logprob, t.logprob);
    extend(logprob_sampled, t.logprob_sampled);
    extend(step_end, t.step_ends);
    token_offset.push_back(static_cast<std::int64_t>(token.size()));
    step_offset.push_back(static_cast<std::int64_t>(step_end.size()));
    outcome.push_back(t.outcome.value_or(t.verdict.correct ? 1.0F : 0.0F));
    finish.push_back(static_cast<std::uint8_t>(t.finish));
    verdict_reason.push_back(static_cast<std::uint8_t>(t.verdict.reason));
    answer.push_back(t.verdict.answer);
}

void Trajectories::append_problem(const Trajectories& other, std::size_t p, std::size_t begin, std::size_t end) {
    const auto tokens = other.prompt(p);
    add_problem(
        other.problem_index[p],
        {static_cast<std::uint64_t>(other.problem_id[p]), {tokens.begin(), tokens.end()}, other.problem_answer[p]});
    for (std::size_t row = begin; row < end; ++row) {
        Trajectory t;
        t.visit = other.visit[row];
        t.sample = other.sample[row];
        t.ids.assign(other.ids(row).begin(), other.ids(row).end());
        t.logprob.assign(other.logprobs(row).begin(), other.logprobs(row).end());
        if (!other.logprob_sampled.empty())
            t.logprob_sampled.assign(other.logprob_sampled.begin() + other.token_offset[row],
                                     other.logprob_sampled.begin() + other.token_offset[row + 1]);
        t.step_ends.assign(other.step_ends(row).begin(), other.step_ends(row).end());
        t.finish = static_cast<task::Finish>(other.finish[row]);
        t.outcome = other.outcome[row];
        t.verdict = {other.outcome[row] > 0.5F, other.answer[row],
                     static_cast<task::Reason>(other.verdict_reason[row])};
        add(t);
        outcome.back() = other.outcome[row];  // which may be soft
    }
}

void Trajectories::append(const Trajectories& other) {
    const auto first_problem = static_cast<std::int32_t>(num_problems());
    const auto first_row = size();
    std::vector<const void*> theirs;
    for_arrays(other, [&](const char*, const auto& values) { theirs.push_back(&values); });
    std::size_t i = 0;
    for_arrays(*this, [&](const std::string& name, auto& values) {
        const auto& more = *static_cast<const std::remove_reference_t<decltype(values)>*>(theirs[i++]);
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(values)>, std::vector<std::int64_t>>) {
            if (name.ends_with("_offset")) return store::append_offsets(values, more);
        }
        extend(values, more);
    });
    for (std::size_t row = first_row; row < size(); ++row) problem[row] += first_problem;
}

void Trajectories::write(store::FileWriter& file) const {
    for_arrays(*this, [&](const char* name, const auto& values) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(values)>, std::vector<std::string>>) {
            file.write_strings(name, values);
        } else {
            file.write(name, values);
        }
    });
}

Trajectories Trajectories::read(const store::FileReader& file) {
    Trajectories t;
    for_arrays(t, [&](const char* name, auto& values) {
        using Values = std::remove_cvref_t<decltype(values)>;
        if constexpr (std::is_same_v<Values, std::vector<std::string>>) {
            values = file.read_strings(name);
        } else {
            values = file.read<typename Values::value_type>(name);
        }
    });
    const bool fits = offsets_fit(t.prompt_offset, t.num_problems(), t.prompt_token.size()) &&
                      offsets_fit(t.token_offset, t.size(), t.token.size()) &&
                      offsets_fit(t.step_offset, t.size(), t.step_end.size()) && t.logprob.size() == t.token.size() &&
                      t.outcome.size() == t.size() && t.answer.size() == t.size();
    if (!fits)
        throw DataError(
            "the arrays of a trajectory file don't fit together (it was made by another program or is damaged). "
            "Make it again.");
    return t;
}

std::string Trajectories::pack() const {
    std::string bytes;
    for_arrays(*this, [&](const char*, const auto& values) {
        put_count(bytes, values.size());
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(values)>, std::vector<std::string>>) {
            for (const std::string& text : values) {
                put_count(bytes, text.size());
                put(bytes, text.data(), text.size());
            }
        } else {
            put(bytes, values.data(), values.size() * sizeof(values[0]));
        }
    });
    return bytes;
}

Trajectories Trajectories::unpack(std::string_view bytes) {
    Parcel parcel{bytes};
    Trajectories t;
    for_arrays(t, [&](const char*, auto& values) {
        values.resize(parcel.count());
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(values)>, std::vector<std::string>>) {
            for (std::string& text : values) {
                text.resize(parcel.count());
                parcel.get(text.data(), text.size());
            }
        } else {
            parcel.get(values.data(), values.size() * sizeof(values[0]));
        }
    });
    return t;
}

std::vector<std::size_t> state_offsets(const Trajectories& data) {
    std::vector<std::size_t> offsets{0};
    for (std::size_t row = 0; row < data.size(); ++row)
        offsets.push_back(offsets.back() + data.step_ends(row).size() + 1);
    return offsets;
}

std::string content_hash(const Trajectories& data) {
    Hasher hasher;
    const auto add = [&](const auto& values) { hasher.update(values.data(), values.size() * sizeof(values[0])); };
    add(data.problem_id);
    add(data.problem);
    add(data.sample);
    add(data.token_offset);
    add(data.token);
    add(data.step_offset);
    add(data.step_end);
    return hasher.hex();
}

}  // namespace tdrm::rollout
