#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/text/tokenizer.hpp"

namespace tdrm::text {

TokenizerReport check_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& jsonl) {
    using nlohmann::json;
    TokenizerReport report;
    std::int64_t number = 0;
    rows::for_each_line(jsonl, [&](std::string_view line, bool) {
        ++number;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
        try {
            const json row = parse_json(line, cat(jsonl.string(), " line ", number));
            if (!row.contains("text")) (void)row.at("decoded");  // nothing to compare: an error
            const auto text = row.value("text", std::string());
            const auto expected = row.at("ids").get<std::vector<std::int32_t>>();
            const auto compare = [&](const char* field, const json& found) {
                if (row.contains(field) && row[field] != found)
                    report.mismatches.push_back({number, field, text, row[field].dump(), found.dump()});
            };
            if (row.contains("text")) compare("ids", tokenizer.encode(text));
            if (row.contains("ids_with_special")) compare("ids_with_special", tokenizer.encode(text, true));
            compare("decoded", tokenizer.decode(expected));
            compare("decoded_skip_special", tokenizer.decode(expected, true));
        } catch (const json::exception& error) {
            throw DataError(cat(jsonl.string(), " line ", number,
                                " has no \"ids\", or neither \"text\" nor \"decoded\": ", error.what(),
                                ". Fix or drop the line."));
        }
        ++report.checked;
    });
    return report;
}

}  // namespace tdrm::text
