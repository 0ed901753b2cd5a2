#include "countdown_moves.hpp"

namespace tdrm::task::countdown {
namespace {

std::uint64_t key_of(const Numbers& numbers) {
    std::array<int, kMaxNumbers> sorted{};
    std::copy(numbers.begin(), numbers.end(), sorted.begin());
    std::sort(sorted.begin(), sorted.end());
    std::uint64_t key = 0;
    for (const int number : sorted) key = key << 10 | static_cast<std::uint64_t>(number);
    return key;
}

}  // namespace

double ScriptedValue::operator()(const Numbers& numbers) {
    if (numbers.size() == 1) return numbers[0] == target_ ? 1 : 0;
    const std::uint64_t key = key_of(numbers);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    const LegalMoves moves(numbers, max_result_);
    double sum = 0;
    int winning =
        0;  // moves that keep the target within reach: the scripted policy hits it from there with some chance
    for (std::size_t i = 0; i < moves.size; ++i) {
        const auto& [move, equation] = moves.items[i];
        const double value = (*this)(after(numbers, move, equation.c));
        sum += value;
        winning += value > 0 ? 1 : 0;
    }
    const double value =
        winning == 0 ? 0 : noise_ * sum / static_cast<double>(moves.size) + (1 - noise_) * sum / winning;
    return known_[key] = value;
}

}  // namespace tdrm::task::countdown
