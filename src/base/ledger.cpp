#include "tdrm/base/ledger.hpp"

namespace tdrm::ledger {
namespace {

Sheet sheet;
In* innermost = nullptr;

using Time = std::chrono::steady_clock::time_point;
void add(Section section, Time since, Time until) {
    sheet.seconds[static_cast<std::size_t>(section)] += std::chrono::duration<double>(until - since).count();
}

}  // namespace

In::In(Section section) : section_(section), outer_(innermost), since_(std::chrono::steady_clock::now()) {
    if (outer_ != nullptr) add(outer_->section_, outer_->since_, since_);
    innermost = this;
}

In::~In() {
    const Time now = std::chrono::steady_clock::now();
    add(section_, since_, now);
    if (outer_ != nullptr) outer_->since_ = now;
    innermost = outer_;
}

void count(Work work, double amount) noexcept { sheet.amount[static_cast<std::size_t>(work)] += amount; }

Sheet close() { return std::exchange(sheet, {}); }

}  // namespace tdrm::ledger
