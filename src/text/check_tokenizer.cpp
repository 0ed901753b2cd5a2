#include <fstream>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/text/tokenizer.hpp"

namespace tdrm::text {

TokenizerReport check_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& jsonl) {
    using nlohmann::json;
    std::ifstream file(jsonl);
    if (!file) throw IoError(cat("can't read ", jsonl.string(), " (it holds the expected ids). Check the path."));
    TokenizerReport report;
    std::string line;
    for (std::int64_t number = 1; std::getline(file, line); ++number) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
        try {
            const json row = json::parse(line);
            const auto text = row.at("text").get<std::string>();
            const auto expected = row.at("ids").get<std::vector<std::int32_t>>();
            const auto ids = tokenizer.encode(text);
            if (ids != expected) {
                report.mismatches.push_back({number, "ids", text, row.at("ids").dump(), json(ids).dump()});
            }
            if (row.contains("decoded")) {
                const auto decoded = tokenizer.decode(expected);
                if (decoded != row.at("decoded").get<std::string>()) {
                    report.mismatches.push_back(
                        {number, "decoded", text, row.at("decoded").dump(), json(decoded).dump()});
                }
            }
        } catch (const json::exception& error) {
            throw DataError(cat(jsonl.string(), " line ", number, " isn't {\"text\", \"ids\"}: ", error.what(),
                                ". Fix or drop the line."));
        }
        ++report.checked;
    }
    return report;
}

}  // namespace tdrm::text
