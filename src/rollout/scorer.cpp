#include "tdrm/rollout/scorer.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::rollout {

void add_states(model::Forest& forest, task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                task::TokenSpan probe, std::vector<std::int32_t>& rows) {
    const auto probe_row = [&](int segment) { return forest.token_index(segment, static_cast<int>(probe.size()) - 1); };
    const int root = forest.add(prompt);
    int start_probe = -1;  // s_0 is the same state for all answers
    for (const ScoredAnswer& answer : answers) {
        const int trunk = answer.ids.empty() ? -1 : forest.add(answer.ids, root);
        for (const std::int32_t end : answer.ends) {
            if (end == 0) {
                if (start_probe < 0) start_probe = forest.add(probe, root);
                rows.push_back(probe_row(start_probe));
            } else {
                rows.push_back(probe_row(forest.add(probe, trunk, end)));
            }
        }
    }
}

void add_tagged_states(model::Forest& forest, task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                       const model::ReadOut& read_out, std::vector<std::int32_t>& rows) {
    const int root = forest.add(prompt);
    const auto tag = static_cast<std::int32_t>(read_out.tag.size());
    int start = -1;
    std::vector<std::int32_t> trunk;
    for (const ScoredAnswer& answer : answers) {
        trunk.clear();
        std::vector<std::size_t> in_trunk;  // rows of this answer's states behind its first token
        std::int32_t done = 0;
        for (const std::int32_t end : answer.ends) {
            if (end == 0) {
                if (start < 0) start = forest.add(read_out.tag, root);
                rows.push_back(forest.token_index(start, tag - 1));
                continue;
            }
            if (done > 0) trunk.insert(trunk.end(), read_out.tail.begin(), read_out.tail.end());
            trunk.insert(trunk.end(), answer.ids.begin() + done, answer.ids.begin() + end);
            trunk.insert(trunk.end(), read_out.tag.begin(), read_out.tag.end());
            done = end;
            in_trunk.push_back(rows.size());
            rows.push_back(static_cast<std::int32_t>(trunk.size()) - 1);
        }
        if (trunk.empty()) continue;
        const int segment = forest.add(trunk, root);
        for (const std::size_t r : in_trunk) rows[r] = forest.token_index(segment, rows[r]);
    }
}

ScoredAnswer all_states(const Trajectories& data, std::size_t row) {
    ScoredAnswer answer{data.ids(row), {0}};
    const auto ends = data.step_ends(row);
    answer.ends.insert(answer.ends.end(), ends.begin(), ends.end());
    // Nothing after the last state is read.
    answer.ids = answer.ids.first(static_cast<std::size_t>(answer.ends.back()));
    return answer;
}

std::size_t forest_tokens(const ScoredAnswer& answer, std::size_t probe_tokens) {
    return answer.ids.size() + answer.ends.size() * probe_tokens;
}

namespace {

/// Several labels are read as an expected value, so each must have one.
void check_bins(const model::ModelSpec& spec, const model::ReadOut& read_out) {
    const int labels = spec.head == model::Head::value ? spec.value_head.labels : 1;
    const auto& bins = read_out.bins;
    if (labels == 1 && bins.empty()) return;
    if (labels == 1)
        throw ConfigError(
            "read_out.bins are the values of the labels of a value head with several (this model has none such). Leave "
            "them out.");
    if (bins.empty() && spec.value_head.bins.empty())
        throw ConfigError(
            cat("the value head has ", labels,
                " labels, and the id2label of its config.json doesn't give each a number in [0, 1] (which "
                "value a label stands for isn't known). Say it by read_out.bins, a number for each."));
    if (!bins.empty() && bins.size() != static_cast<std::size_t>(labels))
        throw ConfigError(cat("read_out.bins has ", bins.size(), " numbers, the value head ", labels,
                              " labels (each label has one value). Give as many."));
    if (!bins.empty() && std::all_of(bins.begin(), bins.end(), [&](double b) { return b == bins.front(); }))
        throw ConfigError("read_out.bins are all alike (every state would have the same value). Correct them.");
}

}  // namespace

Scorer::Scorer(engine::Engine& engine, task::TokenSpan probe, int unit_tokens)
    : Scorer(engine, model::ReadOut{{probe.begin(), probe.end()}, {}, model::TagPlace::leaf, -1, -1}, unit_tokens) {}

Scorer::Scorer(engine::Engine& engine, model::ReadOut read_out, int unit_tokens)
    : engine_(&engine), read_out_(std::move(read_out)), unit_tokens_(static_cast<std::size_t>(unit_tokens)) {
    ensure(!read_out_.tag.empty(), "a read-out has a tag");
    const model::ModelSpec& spec = engine.spec();
    const bool language = spec.head == model::Head::language;
    if (language && !read_out_.reads_language_head())
        throw ConfigError(
            "the model has no value head (values can't be read). Name a value model, or the two tokens of the language "
            "head that "
            "mean right and wrong (read_out.positive, read_out.negative).");
    if (!language && read_out_.reads_language_head())
        throw ConfigError(
            "the model has a value head, no language head (read_out.positive and negative name tokens of a language "
            "head). Leave them out.");
    check_bins(spec, read_out_);
    for (const auto* tokens : {&read_out_.tag, &read_out_.tail})
        for (const std::int32_t id : *tokens)
            if (id < 0 || id >= spec.vocab)
                throw DataError(cat("token ", id, " of the read-out isn't in the model's vocabulary of ", spec.vocab,
                                    ". Use the model's own tags."));
    if (std::max(read_out_.positive, read_out_.negative) >= spec.vocab ||
        (read_out_.reads_language_head() && read_out_.negative < 0))
        throw DataError(
            cat("read_out.positive and negative must both be tokens of the model's vocabulary of ", spec.vocab, "."));
}

ValueView value_prompts_of(const task::Task& task) {
    return {[&task](task::TokenSpan prompt) { return task.value_prompt(prompt); }};
}

std::vector<std::vector<float>> Scorer::score(task::TokenSpan prompt, std::span<const ScoredAnswer> answers) {
    std::vector<std::vector<float>> result;
    result.reserve(answers.size());
    each_pass(prompt, answers, [&](engine::Rows rows, std::span<const ScoredAnswer> of_pass) {
        std::vector<float> logits(rows_.size());
        engine_->values(rows, read_out_, logits);
        auto next = logits.begin();
        for (const ScoredAnswer& answer : of_pass) {
            const auto states = static_cast<std::ptrdiff_t>(answer.ends.size());
            result.emplace_back(next, next + states);
            next += states;
        }
    });
    return result;
}

std::vector<float> Scorer::features(task::TokenSpan prompt, std::span<const ScoredAnswer> answers) {
    const auto width = static_cast<std::size_t>(engine_->spec().width);
    std::vector<float> result;
    each_pass(prompt, answers, [&](engine::Rows rows, std::span<const ScoredAnswer>) {
        result.resize(result.size() + rows_.size() * width);
        engine_->features(rows, std::span(result).last(rows_.size() * width));
    });
    return result;
}

void Scorer::each_pass(task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                       const std::function<void(engine::Rows, std::span<const ScoredAnswer>)>& read) {
    const task::Tokens changed = view_.prompt ? view_.prompt(prompt) : task::Tokens();
    if (view_.prompt) prompt = changed;
    if (!view_.answer) return each_shown_pass(prompt, answers, read);
    std::vector<task::AnswerIds> again;
    std::vector<ScoredAnswer> changed_answers;
    again.reserve(answers.size());
    for (const ScoredAnswer& answer : answers) {
        again.push_back(view_.answer(answer.ids, answer.ends));
        changed_answers.push_back({again.back().ids, again.back().ends});
    }
    each_shown_pass(prompt, changed_answers, read);
}

void Scorer::each_shown_pass(task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                             const std::function<void(engine::Rows, std::span<const ScoredAnswer>)>& read) {
    const std::size_t tagged = read_out_.tag.size() + read_out_.tail.size();
    for (std::size_t first = 0, last = 0; first < answers.size(); first = last) {
        std::size_t tokens = prompt.size();
        while (last < answers.size() &&
               (last == first || tokens + forest_tokens(answers[last], tagged) <= unit_tokens_))
            tokens += forest_tokens(answers[last++], tagged);
        const auto of_pass = answers.subspan(first, last - first);
        forest_.clear();
        rows_.clear();
        if (read_out_.place == model::TagPlace::trunk) {
            add_tagged_states(forest_, prompt, of_pass, read_out_, rows_);
        } else {
            add_states(forest_, prompt, of_pass, read_out_.tag, rows_);
        }
        ledger::count(ledger::Work::scored, forest_.num_tokens());
        tokens_ += forest_.num_tokens();
        read(engine_->forward(forest_, rows_, engine::Keep::nothing), of_pass);
    }
}

std::int64_t PathScorer::prompt_tokens(task::TokenSpan prompt) const {
    return scorer_.view_.prompt ? std::ssize(scorer_.view_.prompt(prompt)) : std::ssize(prompt);
}

void PathScorer::reserve(std::int64_t tokens) {
    // Each probe has its page, for as long as its pass lasts.
    const std::int64_t probe = probe_tokens() + engine::kPageTokens;
    const auto wanted = tokens + probe * static_cast<std::int64_t>(scorer_.unit_tokens_);
    if (decoder_ && decoder_->free_tokens() >= wanted) return;
    decoder_ = nullptr;  // two caches at a time would be one too many
    decoder_ = scorer_.engine_->decoder(wanted, {});
}

void PathScorer::append_all(std::span<const engine::Append> runs) {
    for (std::size_t first = 0; first < runs.size();) {
        std::size_t last = first, tokens = 0;
        while (last < runs.size() && (last == first || tokens + runs[last].tokens.size() <= scorer_.unit_tokens_))
            tokens += runs[last++].tokens.size();
        decoder_->values(runs.subspan(first, last - first), {}, scorer_.read_out_, {});
        ledger::count(ledger::Work::scored, static_cast<double>(tokens));
        first = last;
    }
}

std::vector<int> PathScorer::begin(std::span<const task::TokenSpan> prompts) {
    std::vector<int> paths;
    std::vector<task::Tokens> read;
    std::vector<engine::Append> runs;
    read.reserve(prompts.size());
    for (const task::TokenSpan prompt : prompts) {
        read.push_back(scorer_.view_.prompt ? scorer_.view_.prompt(prompt)
                                            : task::Tokens(prompt.begin(), prompt.end()));
        paths.push_back(decoder_->open());
        runs.push_back({paths.back(), read.back()});
    }
    append_all(runs);
    return paths;
}

std::vector<PathScorer::Scored> PathScorer::score(std::span<const Step> steps) {
    std::vector<Scored> result;
    std::vector<engine::Append> runs;
    std::vector<std::int32_t> read;
    std::vector<int> probes;
    std::vector<float> logits;
    for (std::size_t first = 0; first < steps.size();) {
        runs.clear();
        read.clear();
        probes.clear();
        std::size_t tokens = 0;
        for (; first < steps.size() && tokens < scorer_.unit_tokens_; ++first) {
            const Step& step = steps[first];
            const int path = decoder_->open(step.path);
            const auto ids = step.ids.first(static_cast<std::size_t>(step.end));
            if (!ids.empty()) runs.push_back({path, ids});
            probes.push_back(decoder_->open(path));
            read.push_back(static_cast<std::int32_t>(runs.size()));
            runs.push_back({probes.back(), scorer_.read_out_.tag});
            tokens += ids.size() + scorer_.read_out_.tag.size();
            result.push_back({0, path});
        }
        logits.resize(read.size());
        decoder_->values(runs, read, scorer_.read_out_, logits);
        ledger::count(ledger::Work::scored, static_cast<double>(tokens));
        for (std::size_t i = 0; i < probes.size(); ++i) {
            decoder_->close(probes[i]);
            result[result.size() - probes.size() + i].value = logits[i];
        }
    }
    return result;
}

void PathScorer::append(int path, task::TokenSpan ids) {
    const engine::Append run{path, ids};
    if (!ids.empty()) append_all({&run, 1});
}

void PathScorer::close(int path) { decoder_->close(path); }

}  // namespace tdrm::rollout
