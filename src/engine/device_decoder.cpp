#include "device_decoder.hpp"

#include <algorithm>
#include <numeric>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/rotary.hpp"

namespace tdrm::engine {

static_assert(gpu::kPageTokens == kPageTokens);

DeviceDecoder::DeviceDecoder(DeviceEngine& engine, std::int64_t max_tokens, const SamplerOptions& sampler)
    : engine_(engine),
      device_(*engine.device_),
      sampler_(sampler),
      table_(max_tokens),
      layer_size_(static_cast<std::size_t>(table_.num_pages()) * kPageTokens *
                  static_cast<std::size_t>(engine.spec().kv_width())),
      keys_(device_, layer_size_ * static_cast<std::size_t>(engine.spec().layers), "the key/value cache"),
      values_(device_, layer_size_ * static_cast<std::size_t>(engine.spec().layers), "the key/value cache"),
      plan_(device_),
      window_plan_(device_),
      once_(device_),
      window_once_(device_),
      device_places_(device_),
      device_pages_(device_),
      uniform_(device_),
      drawn_(device_) {}

void DeviceDecoder::close(int segment) {
    forget(segment);
    table_.close(segment);
}

void DeviceDecoder::extend(std::span<const Append> runs) {
    for (auto* list : {&tokens_, &segments_, &slots_, &positions_, &places_, &last_}) list->clear();
    for (const Append& run : runs) {
        ensure(!run.tokens.empty(), "a run to append has a token");
        for (const std::int32_t token : run.tokens) {
            const int i = table_.extend(run.segment);
            tokens_.push_back(token);
            segments_.push_back(run.segment);
            slots_.push_back(i);
            positions_.push_back(table_.base_position(run.segment) + i);
            places_.push_back(table_.page(run.segment, i) * kPageTokens + i % kPageTokens);
        }
        last_.push_back(static_cast<std::int32_t>(tokens_.size()) - 1);
    }
    const model::ModelSpec& spec = engine_.spec();
    windowed_ = spec.window > 0 && *std::max_element(positions_.begin(), positions_.end()) >= spec.window;
    if (spec.rope_scaling.depends_on_length())
        model::cached_lengths(table_, spec.rope_scaling, segments_, slots_, positions_, lengths_);
    pages_.clear();
    first_page_.clear();
    device_places_.assign(places_);
}

std::int32_t DeviceDecoder::first_page(int segment) {
    const auto [found, fresh] = first_page_.try_emplace(segment, static_cast<std::int32_t>(pages_.size()));
    const auto& pages = table_.pages(segment);
    if (fresh) pages_.insert(pages_.end(), pages.begin(), pages.end());
    return found->second;
}

void DeviceDecoder::add_visible(int segment, std::vector<Visible>& visible) {
    if (table_.parent(segment) >= 0) add_visible(table_.parent(segment), visible);
    if (table_.length(segment) > 0)
        visible.push_back(
            {{segment, first_page(segment), table_.base_position(segment), kPageTokens}, table_.length(segment)});
}

PageTarget DeviceDecoder::pages(int layer) const {
    const std::size_t at = layer_size_ * static_cast<std::size_t>(layer);
    return {keys_.data() + at, values_.data() + at, device_places_.data()};
}

void DeviceDecoder::plan_once(std::span<const Append> runs, int window, OnceMemory& to) {
    std::vector<gpu::KeyRange> ranges;
    std::vector<std::int32_t> first_range{0}, first_key;
    std::vector<Visible> visible;
    for (std::size_t r = 0; r < runs.size(); ++r) {
        visible.clear();
        add_visible(runs[r].segment, visible);
        first_key.push_back(0);
        for (const auto& [keys, length] : visible) {
            const std::int32_t first = first_in_window(positions_[r], keys.base, window), out = whole_steps(first);
            if (first >= length) continue;
            if (std::ssize(ranges) == first_range.back()) first_key.back() = first - out;
            ranges.push_back({keys.begin + out / kPageTokens, length - out});
        }
        first_range.push_back(static_cast<std::int32_t>(ranges.size()));
    }
    to.ranges.assign(ranges);
    to.first_range.assign(first_range);
    to.first_key.assign(first_key);
}

PassAttention DeviceDecoder::attend_once(std::span<const Append> runs) {
    plan_once(runs, 0, once_);
    if (windowed_) plan_once(runs, engine_.spec().window, window_once_);
    device_pages_.assign(pages_);
    const auto attend = [this, rows = static_cast<int>(runs.size())](const model::Layer& layer, const gpu::bf16* qkv,
                                                                     gpu::bf16* mixed, float*) {
        const PageTarget target = pages(layer.index);
        const OnceMemory& seen = windowed_ && layer.attention.window > 0 ? window_once_ : once_;
        device_.run(gpu::AttendOnce{mixed, qkv, seen.ranges.data(), seen.first_range.data(), seen.first_key.data(),
                                    rows, engine_.passes().transformer.shape(), layer.attention.score_scale(),
                                    target.keys, target.values, device_pages_.data()});
    };
    return {[this](int layer) { return pages(layer); }, attend};
}

QueryTiles DeviceDecoder::plan_tiles(std::span<const Append> runs, int window) {
    QueryTiles tiles;
    std::vector<Visible> visible;
    std::vector<QueryTiles::Row> rows;
    std::vector<std::int32_t> ends;
    std::int32_t row = 0;
    for (const Append& run : runs) {
        visible.clear();
        add_visible(run.segment, visible);
        const int size = static_cast<int>(run.tokens.size()), before = table_.length(run.segment) - size;
        for (int first = 0; first < size; first += gpu::kTileRows) {
            rows.clear();
            for (int r = first; r < std::min(first + gpu::kTileRows, size); ++r, ++row)
                rows.push_back({row, positions_[static_cast<std::size_t>(row)]});
            tiles.open(rows);
            for (std::size_t v = 0; v < visible.size(); ++v) {
                ends.assign(rows.size(), visible[v].length);
                if (v + 1 == visible.size()) std::iota(ends.begin(), ends.end(), before + first + 1);
                tiles.add_range(visible[v].keys, rows, ends, window);
            }
        }
    }
    return tiles;
}

PassAttention DeviceDecoder::attend_in_tiles(std::span<const Append> runs) {
    const gpu::QueryPlan all = plan_.assign(plan_tiles(runs, 0));
    const gpu::QueryPlan near = windowed_ ? window_plan_.assign(plan_tiles(runs, engine_.spec().window)) : all;
    device_pages_.assign(pages_);
    const auto attend = [this, all, near](const model::Layer& layer, const gpu::bf16* qkv, gpu::bf16* mixed, float*) {
        const PageTarget target = pages(layer.index);
        device_.run(gpu::Attend{mixed, nullptr, qkv, layer.attention.window > 0 ? near : all,
                                engine_.passes().transformer.shape(), layer.attention.score_scale(), target.keys,
                                target.values, device_pages_.data()});
    };
    return {[this](int layer) { return pages(layer); }, attend};
}

const gpu::bf16* DeviceDecoder::append(std::span<const Append> runs, std::span<const std::int32_t> read) {
    extend(runs);
    const bool single = tokens_.size() == runs.size();
    const PassAttention attention = single ? attend_once(runs) : attend_in_tiles(runs);
    std::vector<std::int32_t> rows;
    for (const std::int32_t r : read) rows.push_back(last_[static_cast<std::size_t>(r)]);
    ++engine_.pass_;  // earlier rows of the engine are gone
    return engine_.passes().transformer.run({tokens_, positions_, lengths_}, rows, attention, false);
}

void DeviceDecoder::prefill(std::span<const Append> runs) {
    std::vector<std::int32_t> all(runs.size());
    std::iota(all.begin(), all.end(), 0);
    const gpu::bf16* hidden = append(runs, all);
    DeviceHead& head = engine_.passes().head;
    const auto vocab = static_cast<std::size_t>(engine_.spec().vocab),
               width = static_cast<std::size_t>(engine_.spec().width);
    const auto pitch = static_cast<std::size_t>(head.pitch());
    for (std::size_t first = 0; first < runs.size(); first += DeviceHead::kChunk) {
        const std::size_t count = std::min<std::size_t>(DeviceHead::kChunk, runs.size() - first);
        const float* logits = head.logits(hidden + first * width, static_cast<int>(count));
        for (std::size_t i = 0; i < count; ++i)
            device_.copy(room_for(runs[first + i].segment).resize(vocab), logits + i * pitch, vocab * sizeof(float));
    }
}

gpu::Memory<float>& DeviceDecoder::room_for(int segment) {
    if (spare_.empty()) spare_.emplace_back(device_, "logits");
    const auto placed = kept_.try_emplace(segment, std::move(spare_.back()));
    if (placed.second) spare_.pop_back();
    return placed.first->second;
}

void DeviceDecoder::forget(int segment) {
    if (auto kept = kept_.extract(segment)) spare_.push_back(std::move(kept.mapped()));
}

void DeviceDecoder::sample(const float* logits, std::span<const double> uniform, std::size_t first) {
    device_.run(gpu::Sample{drawn_.resize(uniform.size()), logits, uniform_.assign(uniform),
                            static_cast<int>(uniform.size()), engine_.spec().vocab, engine_.passes().head.pitch(),
                            static_cast<float>(sampler_.temperature), sampler_.top_k, sampler_.top_p,
                            static_cast<float>(sampler_.min_p)});
    std::vector<gpu::SampledToken> drawn(uniform.size());
    device_.download(drawn.data(), drawn_.data(), drawn.size() * sizeof(gpu::SampledToken));
    device_.wait();
    for (std::size_t i = 0; i < drawn.size(); ++i)
        choices_[first + i] = {drawn[i].token, drawn[i].logprob, drawn[i].logprob_sampled};
}

Choice DeviceDecoder::draw(int segment, const Random& random, std::uint64_t counter) {
    const auto kept = kept_.find(segment);
    ensure(kept != kept_.end(), "a distribution is drawn from after its prefill");
    choices_.resize(1);
    const double uniform = random.uniform(counter);
    sample(kept->second.data(), {&uniform, 1}, 0);
    return choices_[0];
}

std::span<const Choice> DeviceDecoder::step(std::span<const DecodeStep> steps) {
    std::vector<Append> runs;
    std::vector<double> uniform;
    std::vector<std::int32_t> all;
    for (const DecodeStep& step : steps) {
        runs.push_back({step.segment, {&step.token, 1}});
        uniform.push_back(step.random.uniform(step.counter));
        all.push_back(static_cast<std::int32_t>(all.size()));
    }
    const gpu::bf16* hidden = append(runs, all);
    choices_.resize(steps.size());
    for (std::size_t first = 0; first < steps.size(); first += DeviceHead::kChunk) {
        const std::size_t count = std::min<std::size_t>(DeviceHead::kChunk, steps.size() - first);
        const float* logits = engine_.passes().head.logits(
            hidden + first * static_cast<std::size_t>(engine_.spec().width), static_cast<int>(count));
        sample(logits, std::span(uniform).subspan(first, count), first);
    }
    return choices_;
}

void DeviceDecoder::values(std::span<const Append> runs, std::span<const std::int32_t> read,
                           const model::ReadOut& read_out, std::span<float> logits) {
    ensure(logits.size() == read.size(), "a value for each run that is read");
    const gpu::bf16* hidden = append(runs, read);
    if (!read.empty()) engine_.passes().head.values(hidden, read_out, logits);
}

}  // namespace tdrm::engine
