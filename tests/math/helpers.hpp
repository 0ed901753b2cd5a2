// What the tests of the verifier share.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tdrm/math/verify.hpp"

namespace tdrm::math::test {

using Json = nlohmann::json;

inline std::vector<Json> read_jsonl(const std::filesystem::path& path) {
    std::vector<Json> rows;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);)
        if (!line.empty() && line[0] != '#') rows.push_back(Json::parse(line));
    return rows;
}

inline VerifyOptions options_of(const Json& row) {
    VerifyOptions options;
    if (row.contains("precision")) options.compare.precision = row["precision"].get<int>();
    if (row.contains("abs_tolerance")) options.compare.abs_tolerance = row["abs_tolerance"].get<double>();
    options.compare.strict_symbols = row.value("strict_symbols", true);
    options.compare.positive_variables = row.value("positive_variables", false);
    options.decimal_comma = row.value("decimal_comma", false);
    options.compare.allow_set_relation = row.value("allow_set_relation", true);
    return options;
}

/// Real data next to the repository, where it is present.
inline std::filesystem::path shared_data() { return std::filesystem::path(TDRM_SOURCE_DIR) / "../shared/data"; }

}  // namespace tdrm::math::test
