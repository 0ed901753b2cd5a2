// The gold answers of the data sets at hand.
#pragma once

#include <cstdio>
#include <memory>
#include <sstream>

#include "helpers.hpp"
#include "tdrm/math/characters.hpp"

namespace tdrm::math::test {

/// Rows of a JSON array or JSONL file, gzipped or not.
inline std::vector<Json> rows_of(const std::filesystem::path& path) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(("gzip -dcf '" + path.string() + "'").c_str(), "r"), pclose);
    std::string text;
    char buffer[65536];
    while (const std::size_t bytes = fread(buffer, 1, sizeof buffer, pipe.get())) text.append(buffer, bytes);
    if (const Json whole = Json::parse(text, nullptr, false); whole.is_array()) return whole;
    std::vector<Json> rows;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (!line.empty()) rows.push_back(Json::parse(line));
    return rows;
}

struct DataSet {
    const char* file;
    const char* field;
    bool solution = false;  ///< the field is a solution that ends in the answer
};

inline constexpr DataSet kDataSets[] = {{"gsm8k/train.jsonl.gz", "answer", true},
                                        {"gsm8k/test.jsonl", "answer", true},
                                        {"math/train.json.gz", "answer"},
                                        {"math/test.jsonl.gz", "solution", true},
                                        {"math500/test.jsonl", "answer"},
                                        {"aime/aime24.jsonl", "answer"},
                                        {"aime/aime_1983_2023.json.gz", "answer"},
                                        {"amc/amc23.jsonl", "answer"},
                                        {"amc/amc22_23.json", "answer"},
                                        {"olympiadbench/test.jsonl.gz", "final_answer"},
                                        {"minerva_math/test.jsonl", "solution", true},
                                        {"gaokao2023en/test.jsonl", "answer"},
                                        {"college_math/test.jsonl.gz", "answer"},
                                        {"svamp/test.jsonl", "Answer"},
                                        {"asdiv/test.jsonl.gz", "answer"},
                                        {"mawps/test.jsonl", "target"},
                                        {"cn/cn_middle_school.jsonl", "answer"},
                                        {"cn/cmath.jsonl.gz", "golden"},
                                        {"cn/mgsm_zh.jsonl", "answer"}};

/// Calls `use(set, gold)` for each answer; four rows have none. A solution goes to `see_solution` first.
template <class Use, class SeeSolution>
void for_each_gold(Use&& use, SeeSolution&& see_solution) {
    for (const DataSet& set : kDataSets) {
        for (const Json& row : rows_of(shared_data() / set.file)) {
            const Json& field = row.at(set.field);
            const Json& value = field.is_array() ? field.at(0) : field;
            std::string gold = value.is_string() ? value.get<std::string>() : value.dump();
            if (set.solution) {
                see_solution(set, gold);
                gold = extract_answer(gold).text;
            }
            if (!trimmed(gold).empty()) use(set, gold);
        }
    }
}

}  // namespace tdrm::math::test
