#include "tdrm/model/kv_cache.hpp"

#include <algorithm>

namespace tdrm::model {

KvCache::KvCache(const ModelSpec& spec, std::int64_t max_tokens, Products products)
    : PageTable(max_tokens),
      page_cells_(static_cast<std::size_t>(ops::attention_kernels(products).page_cells(spec.kv_heads, spec.head_dim))) {
    const std::size_t cells =
        static_cast<std::size_t>(spec.layers) * static_cast<std::size_t>(num_pages()) * page_cells_;
    keys_.resize(cells);
    values_.resize(cells);
}

double KvCache::bytes(const ModelSpec& spec, std::int64_t max_tokens, Products products) {
    const auto page = static_cast<double>(ops::attention_kernels(products).page_cells(spec.kv_heads, spec.head_dim));
    return 2.0 * spec.layers * page / ops::kPageTokens * static_cast<double>(max_tokens) * sizeof(float);
}

void KvCache::visible(int segment, int first, int last, int from, std::vector<ops::KeyRun>& runs) const {
    if (parent(segment) >= 0) {
        const int before = length(parent(segment));
        visible(parent(segment), before - 1, before - 1, from, runs);
    }
    const int base = base_position(segment);
    for (int begin = 0; begin <= last; begin += ops::kPageTokens) {
        const std::size_t cells = at(0, page(segment, begin));
        ops::KeyRun run{keys_.data() + cells, values_.data() + cells, std::min(ops::kPageTokens, last + 1 - begin),
                        first + 1 - begin};
        if (run.hide(from - base - begin, 0, 0)) runs.push_back(run);  // a page is hidden whole, or not moved
    }
}

}  // namespace tdrm::model
