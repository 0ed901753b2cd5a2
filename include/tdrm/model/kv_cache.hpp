// Paged key/value cache whose sequences are segments of a tree: a prompt is cached once for all its samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tdrm/model/buffer.hpp"
#include "tdrm/model/ops.hpp"
#include "tdrm/model/page_table.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::model {

/// A page table with keys and values. Memory is reserved at once but touched only as pages are used.
class KvCache : public PageTable {
public:
    /// @param products of the model that computes; with bf16 keys and values are rounded
    KvCache(const ModelSpec& spec, std::int64_t max_tokens, Products products = Products::fp32);

    /// Memory of such a cache once it was full.
    [[nodiscard]] static double bytes(const ModelSpec& spec, std::int64_t max_tokens, Products products);

    /// Appends what tokens `first` to `last` of the segment see, roots first: each page a run, as layer 0 holds it.
    /// @param from position of the first key that token `first` sees; each further token's is one further
    void visible(int segment, int first, int last, int from, std::vector<ops::KeyRun>& runs) const;

    [[nodiscard]] float* keys(int layer, int page) { return keys_.data() + at(layer, page); }
    [[nodiscard]] float* values(int layer, int page) { return values_.data() + at(layer, page); }
    /// From a page as layer 0 holds it to the same page in another layer.
    [[nodiscard]] std::ptrdiff_t layer_offset(int layer) const { return static_cast<std::ptrdiff_t>(at(layer, 0)); }

private:
    [[nodiscard]] std::size_t at(int layer, int page) const {
        return (static_cast<std::size_t>(layer) * static_cast<std::size_t>(num_pages()) +
                static_cast<std::size_t>(page)) *
               page_cells_;
    }

    std::size_t page_cells_;
    Floats keys_, values_;
};

}  // namespace tdrm::model
