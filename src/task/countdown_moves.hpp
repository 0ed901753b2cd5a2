// The moves of countdown: what is left, what may be played, and what that is worth. Private to the room.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>

#include "word_task.hpp"

namespace tdrm::task::countdown {

inline constexpr int kMaxNumbers = 5;

/// The numbers left, in any order.
class Numbers {
public:
    [[nodiscard]] int size() const { return size_; }
    [[nodiscard]] int operator[](int i) const { return values_[static_cast<std::size_t>(i)]; }
    [[nodiscard]] auto begin() const { return values_.begin(); }
    [[nodiscard]] auto end() const { return values_.begin() + size_; }
    void push(int value) { values_[static_cast<std::size_t>(size_++)] = value; }
    void erase(int i) { values_[static_cast<std::size_t>(i)] = values_[static_cast<std::size_t>(--size_)]; }
    /// Takes one of the numbers with this value away, if there is one.
    bool take(int value) {
        const auto found = std::find(begin(), end(), value);
        if (found == end()) return false;
        erase(static_cast<int>(found - begin()));
        return true;
    }

private:
    std::array<int, kMaxNumbers> values_{};
    int size_ = 0;
};

/// a op b for a >= b >= 1; 0 if it isn't a whole number in [1, max_result].
inline int apply(int a, Token op, int b, int max_result) {
    int result = 0;
    switch (op) {
        case kPlus:
            result = a + b;
            break;
        case kMinus:
            result = a - b;
            break;
        case kTimes:
            result = a * b;
            break;
        default:
            result = a % b == 0 ? a / b : 0;
    }
    return result <= max_result ? result : 0;
}

/// Choice of two of the numbers and of an operation.
struct Move {
    int i, j;  // i < j
    Token op;
};

inline Equation equation_of(const Numbers& numbers, const Move& move, int max_result) {
    const int a = std::max(numbers[move.i], numbers[move.j]);
    const int b = std::min(numbers[move.i], numbers[move.j]);
    return {a, move.op, b, apply(a, move.op, b, max_result)};
}

inline Numbers after(Numbers numbers, const Move& move, int result) {
    numbers.erase(move.j);  // the larger index first: erase moves the last number into the gap
    numbers.erase(move.i);
    numbers.push(result);
    return numbers;
}

/// All legal moves with their equations. Never empty for two numbers or more: unequal ones can be subtracted, equal
/// ones divided.
struct LegalMoves {
    LegalMoves(const Numbers& numbers, int max_result) {
        for (int i = 0; i < numbers.size(); ++i)
            for (int j = i + 1; j < numbers.size(); ++j)
                for (Token op = kPlus; op <= kDivide; ++op) {
                    const Equation equation = equation_of(numbers, {i, j, op}, max_result);
                    if (equation.c > 0) items[size++] = {{i, j, op}, equation};
                }
    }
    template <class Predicate>
    void keep_if(Predicate keep) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < size; ++i)
            if (keep(items[i].equation)) items[kept++] = items[i];
        size = kept;
    }
    struct Item {
        Move move;
        Equation equation;
    };
    std::array<Item, kMaxNumbers*(kMaxNumbers - 1) / 2 * 4> items;
    std::size_t size = 0;
};

/// Exact value of the play that writes demonstrations: with probability `noise` a random legal move, otherwise a random
/// one of the moves that keep the target within reach, if there is one.
class ScriptedValue {
public:
    ScriptedValue(int target, double noise, int max_result) : target_(target), noise_(noise), max_result_(max_result) {}
    /// P(the last number is the target).
    double operator()(const Numbers& numbers);

private:
    int target_;
    double noise_;
    int max_result_;
    std::unordered_map<std::uint64_t, double> known_;  ///< by the numbers left, sorted, ten bits each
};

}  // namespace tdrm::task::countdown
