#include <ostream>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/math/verify.hpp"

namespace tdrm::math {
namespace {

using rows::Json;
using rows::Place;

/// A line without a verdict of its own.
struct BrokenPair {
    std::string problem;
};

[[noreturn]] void fail(std::string problem) { throw BrokenPair{std::move(problem)}; }

std::string text_of(const Json& row, const char* field) {
    const auto found = row.find(field);
    if (found == row.end()) fail(cat("the field \"", field, "\" is missing"));
    if (found->is_string()) return found->get<std::string>();
    if (found->is_number()) return found->dump();
    fail(cat("the field \"", field, "\" is neither text nor a number"));
}

VerifyOptions with_row_options(VerifyOptions options, const Json& row) {
    try {
        if (row.contains("precision")) options.compare.precision = row["precision"].get<int>();
        if (row.contains("abs_tolerance")) options.compare.abs_tolerance = row["abs_tolerance"].get<double>();
        options.compare.strict_symbols = row.value("strict_symbols", options.compare.strict_symbols);
        options.compare.positive_variables = row.value("positive_variables", options.compare.positive_variables);
        options.decimal_comma = row.value("decimal_comma", options.decimal_comma);
        options.compare.allow_set_relation = row.value("allow_set_relation", options.compare.allow_set_relation);
    } catch (const Json::exception&) {
        fail("an option has the wrong type");
    }
    const auto precision = options.compare.precision.value_or(0);
    const auto tolerance = options.compare.abs_tolerance.value_or(0);
    if (precision < 0 || precision > 30) fail("\"precision\" isn't between 0 and 30");
    if (!(tolerance >= 0 && tolerance < 1e300)) fail("\"abs_tolerance\" is negative");
    return options;
}

}  // namespace

VerifyCounts verify_file(const std::filesystem::path& path, std::ostream& out, const VerifyOptions& options) {
    VerifyCounts counts;
    std::string first_problem;
    rows::for_each_row(path, [&](const Json& row, const Place& place) {
        nlohmann::ordered_json printed = {{"line", place.number}};
        ++counts.pairs;
        try {
            if (row.is_discarded()) fail("this isn't JSON, or holds half a surrogate pair");
            if (!row.is_object()) fail("this isn't a JSON object");
            const Verdict verdict =
                verify(text_of(row, "gold"), text_of(row, "answer"), with_row_options(options, row));
            counts.equal += verdict.equal ? 1 : 0;
            printed.update({{"equal", verdict.equal},
                            {"reason", verdict.reason},
                            {"gold", verdict.gold},
                            {"answer", verdict.answer},
                            {"operations", verdict.operations}});
        } catch (const BrokenPair& broken) {
            ++counts.broken;
            printed.update({{"equal", false}, {"reason", "error"}, {"error", broken.problem}});
            if (first_problem.empty()) first_problem = cat(place.text(), ": ", broken.problem);
        }
        out << printed.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
    });
    if (counts.broken > 0)
        throw DataError(
            cat(first_problem, " (", counts.broken, " of ", counts.pairs,
                " lines are no pair; their verdicts say \"error\", all others are written). Write {\"gold\": "
                "\"...\", \"answer\": \"...\"}."));
    return counts;
}

}  // namespace tdrm::math
