#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/text/tokenizer.hpp"

namespace tdrm::app {
namespace {

using nlohmann::json;

/// Ids beyond 32 bits are as unknown as -1.
std::vector<std::int32_t> read_ids(const std::string& line) {
    const json list = parse_json(line, "the list");
    std::vector<std::int32_t> ids;
    for (const json& id : list.get_ref<const json::array_t&>()) {
        if (!id.is_number_integer())
            throw DataError(cat(id.dump(), " isn't a token id. Write a list of whole numbers."));
        const auto value = id.get<std::int64_t>();
        ids.push_back(value >= 0 && value <= INT32_MAX ? static_cast<std::int32_t>(value) : -1);
    }
    return ids;
}

std::string convert(const text::Tokenizer& tokenizer, const std::string& line, const TokenizeRequest& request) {
    if (request.decode) return json(tokenizer.decode(read_ids(line), request.skip_special)).dump();
    const std::string text = request.json ? parse_json(line, "the text").get<std::string>() : line;
    return json(tokenizer.encode(text, request.add_special)).dump();
}

void convert_lines(const text::Tokenizer& tokenizer, const TokenizeRequest& request, std::istream& in,
                   std::ostream& out) {
    std::int64_t number = 1;
    try {
        for (std::string line; std::getline(in, line) && out; ++number)
            out << convert(tokenizer, line, request) << '\n';
    } catch (const json::exception& error) {
        out.flush();
        throw DataError(cat("line ", number, " isn't ", request.decode ? "a JSON list of ids" : "a JSON string", ": ",
                            error.what(), ". Fix or drop the line."));
    } catch (const DataError& error) {
        out.flush();
        throw DataError(cat("line ", number, ": ", error.what()));
    }
}

int check_lines(const text::Tokenizer& tokenizer, const std::string& file, std::ostream& out) {
    const auto report = text::check_tokenizer(tokenizer, file);
    for (const auto& mismatch : report.mismatches) {
        const nlohmann::ordered_json printed = {{"line", mismatch.line},
                                                {"differs", mismatch.what},
                                                {"text", mismatch.text},
                                                {"expected", parse_json(mismatch.expected, "expected")},
                                                {"found", parse_json(mismatch.found, "found")}};
        out << printed.dump() << '\n';
    }
    out << report.checked << " lines checked, " << report.mismatches.size() << " differences\n";
    return static_cast<int>(report.mismatches.empty() ? ExitCode::ok : ExitCode::data);
}

}  // namespace

int tokenize(const TokenizeRequest& request, std::istream& in, std::ostream& out) {
    const auto tokenizer = text::Tokenizer::load(request.tokenizer);
    int code = 0;
    if (request.check.empty()) {
        convert_lines(tokenizer, request, in, out);
    } else {
        code = check_lines(tokenizer, request.check, out);
    }
    if (!out.flush()) throw IoError("the output can't be written (its reader is gone or the disk is full).");
    return code;
}

}  // namespace tdrm::app
