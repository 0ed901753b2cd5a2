// Figures of a start: what was done, how fast, and where the time went. Private to app.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tdrm/comm/communicator.hpp"

namespace tdrm::app {

/// Keeps RUN/performance.json (docs/formats/run.md). Nothing in there is a result.
class Performance {
public:
    Performance(comm::Communicator& ranks, std::filesystem::path run);

    /// Collective. A stage begins that has work to do. The first of a start measures the rate of matrix products.
    void begin();
    /// Collective. What all ranks did since begin(), into the file. @param stage its name, a folder of the run
    void end(const std::string& stage);
    /// Local, rank 0: the block for the log; "" if the start had nothing to do.
    [[nodiscard]] std::string text() const;

private:
    comm::Communicator& ranks_;
    std::filesystem::path run_;
    nlohmann::json content_;  ///< of the file, on rank 0
    double gemm_rate_ = 0;    ///< of all ranks, once measured
    double wall_ = 0, cpu_ = 0;
};

/// The block of the newest start, of performance.json: a line of rates, and a table for each stage.
[[nodiscard]] std::string performance_text(const nlohmann::json& content);

/// The performance.json of a run; null if there is none, or one that is damaged or has another form.
[[nodiscard]] nlohmann::json read_performance(const std::filesystem::path& run);

/// What is wrong with a finished stage's timing.jsonl, of which performance.json holds the hash; "" if nothing is.
[[nodiscard]] std::string timing_damage(const nlohmann::json& content, const std::filesystem::path& stage);

}  // namespace tdrm::app
