// Products with packed weights. A row's bits depend on that row alone, for any number of rows (docs/adr/0013).
#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/ops.hpp"
#include "tile.hpp"

namespace tdrm::model::ops {

namespace {

constexpr int kPanel = kTileVectors * simd::kLanes;  ///< columns of Y, rows of W, that are computed together
constexpr int kBlockFloats = 1 << 18;                ///< of X, that stay in the second-level cache while W passes by

}  // namespace

double PackedMatrix::bytes(int rows, int columns) {
    const int panels = (rows + kPanel - 1) / kPanel;
    return 1.0 * panels * kPanel * columns * sizeof(float);
}

void PackedMatrix::pack(const float* w, int rows, int columns) {
    rows_ = rows;
    columns_ = columns;
    const int panels = (rows + kPanel - 1) / kPanel;
    float* panel = data_.resize(static_cast<std::size_t>(panels) * kPanel * static_cast<std::size_t>(columns));
    for (int first = 0; first < rows; first += kPanel, panel += std::ptrdiff_t{columns} * kPanel)
        for (int j = 0; j < kPanel; ++j) {
            const float* row = w + static_cast<std::ptrdiff_t>(first + j) * columns;
            const bool present = first + j < rows;
            for (int i = 0; i < columns; ++i) panel[i * std::ptrdiff_t{kPanel} + j] = present ? row[i] : 0.0F;
        }
}

void PackedMatrix::row(int row, std::span<float> to) const {
    ensure(row >= 0 && row < rows_ && std::ssize(to) == columns_, "a row of the matrix");
    const float* from = data_.data() + std::ptrdiff_t{row / kPanel} * columns_ * kPanel + row % kPanel;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = from[static_cast<std::ptrdiff_t>(i) * kPanel];
}

void gemm_nt(float* y, const float* x, const PackedMatrix& w, int m, float beta) {
    const int n = w.rows();
    const int k = w.columns();
    const int block = std::max(kTileRows, kBlockFloats / k);
    for (int row = 0; row < m; row += block) {
        const float* panel = w.data();
        for (int column = 0; column < n; column += kPanel, panel += std::ptrdiff_t{k} * kPanel)
            multiply_rows(std::min(block, m - row), y + row * std::ptrdiff_t{n} + column, n,
                          x + row * std::ptrdiff_t{k}, k, panel, kPanel, k, std::min(kPanel, n - column), beta);
    }
}

}  // namespace tdrm::model::ops
