#include <ostream>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/math/verify.hpp"

namespace tdrm::math {
namespace {

using rows::Json;
using rows::Place;

[[noreturn]] void fail(const Place& place, const std::string& problem) {
    throw DataError(
        cat(place.text(), ": ", problem,
            " (a pair without both answers has no verdict). Write {\"gold\": \"...\", \"answer\": \"...\"}."));
}

std::string text_of(const Json& row, const char* field, const Place& place) {
    const auto found = row.find(field);
    if (found == row.end()) fail(place, cat("the field \"", field, "\" is missing"));
    if (found->is_string()) return found->get<std::string>();
    if (found->is_number()) return found->dump();
    fail(place, cat("the field \"", field, "\" is neither text nor a number"));
}

VerifyOptions with_row_options(VerifyOptions options, const Json& row, const Place& place) {
    try {
        if (row.contains("precision")) options.compare.precision = row["precision"].get<int>();
        if (row.contains("abs_tolerance")) options.compare.abs_tolerance = row["abs_tolerance"].get<double>();
        options.compare.strict_symbols = row.value("strict_symbols", options.compare.strict_symbols);
        options.compare.allow_set_relation = row.value("allow_set_relation", options.compare.allow_set_relation);
    } catch (const Json::exception&) {
        fail(place, "an option has the wrong type");
    }
    const auto precision = options.compare.precision.value_or(0);
    const auto tolerance = options.compare.abs_tolerance.value_or(0);
    if (precision < 0 || precision > 30) fail(place, "\"precision\" isn't between 0 and 30");
    if (!(tolerance >= 0 && tolerance < 1e300)) fail(place, "\"abs_tolerance\" is negative");
    return options;
}

}  // namespace

VerifyCounts verify_file(const std::filesystem::path& path, std::ostream& out, const VerifyOptions& options) {
    VerifyCounts counts;
    rows::for_each_row(path, [&](const Json& row, const Place& place) {
        if (row.is_discarded() || !row.is_object()) fail(place, "this isn't a JSON object");
        const std::string gold = text_of(row, "gold", place), answer = text_of(row, "answer", place);
        const Verdict verdict = verify(gold, answer, with_row_options(options, row, place));
        ++counts.pairs;
        counts.equal += verdict.equal ? 1 : 0;
        const nlohmann::ordered_json printed = {{"line", place.number},     {"equal", verdict.equal},
                                                {"reason", verdict.reason}, {"gold", verdict.gold},
                                                {"answer", verdict.answer}, {"operations", verdict.operations}};
        out << printed.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
    });
    return counts;
}

}  // namespace tdrm::math
