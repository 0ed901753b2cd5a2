// A verdict may cost only so many operations: whatever a model writes, the verifier answers.
#pragma once

#include <cstdint>

namespace tdrm::math {

/// Thrown by Budget::spend; verify() turns it into the verdict "budget" and never lets it out.
struct BudgetExceeded {};

/// Counts elementary operations (a token, a node of a tree, 16 limbs of big-number work) against a fixed limit.
class Budget {
public:
    explicit Budget(std::uint64_t limit) : limit_(limit) {}

    /// Announces work before it is done; throws BudgetExceeded if it isn't covered, so used() never passes the limit.
    void spend(std::uint64_t operations = 1) {
        if (operations > limit_ - used_) {
            used_ = limit_;
            throw BudgetExceeded{};
        }
        used_ += operations;
    }
    [[nodiscard]] std::uint64_t used() const { return used_; }

private:
    std::uint64_t limit_;
    std::uint64_t used_ = 0;
};

}  // namespace tdrm::math
