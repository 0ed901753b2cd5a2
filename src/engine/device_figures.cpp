#include "device_figures.hpp"

#include <algorithm>
#include <bit>

namespace tdrm::engine {
namespace {

std::size_t blocks_of(const Range& piece) { return gpu::figure_blocks(static_cast<std::size_t>(piece.size())); }

}  // namespace

void DeviceFigures::begin(const std::vector<Range>& pieces) {
    std::size_t blocks = 0;
    for (const Range& piece : pieces) blocks += blocks_of(piece);
    squares_.resize(blocks);
    largest_.resize(blocks);
    pieces_.clear();
    blocks_ = 0;
}

void DeviceFigures::add(const Range& piece, const float* values) {
    device_.run(gpu::GradientFigures{squares_.data() + blocks_, largest_.data() + blocks_, values,
                                     static_cast<std::size_t>(piece.size())});
    blocks_ += blocks_of(piece);
    pieces_.push_back(piece);
}

DeviceFigures::Found DeviceFigures::find() {
    std::vector<double> squares(blocks_);
    std::vector<std::uint32_t> largest(blocks_);
    device_.download(squares.data(), squares_.data(), blocks_ * sizeof(double));
    device_.download(largest.data(), largest_.data(), blocks_ * sizeof(std::uint32_t));
    device_.wait();
    Found found;
    std::uint32_t most = 0;
    std::size_t at = 0;
    for (const Range& piece : pieces_) {
        double& total = found.squares.emplace_back(0);
        for (std::size_t block = 0; block < blocks_of(piece); ++block, ++at) {
            total += squares[at];
            if (at > 0 && largest[at] <= most) continue;
            most = largest[at];
            const std::int64_t begin = piece.begin + static_cast<std::int64_t>(block * gpu::kFigureBlock);
            found.where = {begin, std::min(piece.end, begin + static_cast<std::int64_t>(gpu::kFigureBlock))};
        }
    }
    found.largest = std::bit_cast<float>(most);
    return found;
}

}  // namespace tdrm::engine
