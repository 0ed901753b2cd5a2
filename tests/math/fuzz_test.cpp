// Mutated answers: never a crash, a hang or a verdict above the budget. 20,000 pairs in the ordinary tests; a million
// under sanitizers in tests/sanitized.sh, a long test.
#include <gtest/gtest.h>

#include <cstdlib>

#include "helpers.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::math::test {
namespace {

const std::vector<std::string>& fragments() {
    static const std::vector<std::string> list = {"\\frac",
                                                  "\\sqrt",
                                                  "{",
                                                  "}",
                                                  "(",
                                                  ")",
                                                  "[",
                                                  "]",
                                                  "\\{",
                                                  "\\}",
                                                  "^",
                                                  "_",
                                                  "|",
                                                  ",",
                                                  ";",
                                                  ":",
                                                  "!",
                                                  "%",
                                                  "\\%",
                                                  "$",
                                                  "\\$",
                                                  "\\pm",
                                                  "\\cup",
                                                  "\\cap",
                                                  "\\setminus",
                                                  "\\infty",
                                                  "\\pi",
                                                  "e",
                                                  "i",
                                                  "x",
                                                  "y",
                                                  "f(",
                                                  "\\sin",
                                                  "\\log_",
                                                  "\\binom",
                                                  "\\begin{pmatrix}",
                                                  "\\end{pmatrix}",
                                                  "\\\\",
                                                  "&",
                                                  "\\boxed{",
                                                  "\\text{",
                                                  "\\left",
                                                  "\\right",
                                                  " and ",
                                                  "=",
                                                  "<",
                                                  "\\le",
                                                  "\\in",
                                                  "\\ne",
                                                  "9999999999",
                                                  "0",
                                                  "1e99",
                                                  ".5",
                                                  "^\\circ",
                                                  "\\overline{",
                                                  "####",
                                                  "The answer is ",
                                                  "\xE7\xAD\x94",
                                                  "\xEF\xBC\x8C",
                                                  "\xFF",
                                                  "-",
                                                  "+",
                                                  "/",
                                                  "*",
                                                  "!!",
                                                  "\\lfloor",
                                                  "\\rfloor",
                                                  "\\mathbb{R}",
                                                  "\\sum_{",
                                                  "\\int",
                                                  "cm",
                                                  " percent",
                                                  "10^{10^{10}}",
                                                  "'",
                                                  "\\sqrt[3]{",
                                                  "\\cdot",
                                                  "\\quad",
                                                  "~",
                                                  "\n",
                                                  "\\(",
                                                  "\\)",
                                                  "</think>"};
    return list;
}

class Mutator {
public:
    explicit Mutator(std::vector<std::string> seeds) : seeds_(std::move(seeds)) {}

    std::string make(Random& random) const {
        std::string text = pick(seeds_, random);
        for (std::uint64_t n = random.next_below(6); n > 0; --n) mutate(text, random);
        return text;
    }

private:
    static const std::string& pick(const std::vector<std::string>& list, Random& random) {
        return list[random.next_below(list.size())];
    }

    void mutate(std::string& text, Random& random) const {
        const std::size_t at = random.next_below(text.size() + 1), length = random.next_below(8);
        switch (random.next_below(6)) {
            case 0:
                text.insert(at, pick(fragments(), random));
                break;
            case 1:
                text.erase(at, length);
                break;
            case 2:
                text.insert(at, text.substr(random.next_below(text.size() + 1), length * 4));
                break;
            case 3:
                if (at < text.size()) text[at] = static_cast<char>(random.next_below(256));
                break;
            case 4:
                text.insert(at, pick(seeds_, random));
                break;
            default:
                text = text.substr(at) + text.substr(0, at);
        }
        if (text.size() > 2000) text.resize(2000);
    }

    std::vector<std::string> seeds_;
};

TEST(Verifier, SurvivesMutatedAnswers) {
    std::vector<std::string> seeds;
    for (const Json& row : read_jsonl(std::filesystem::path(TDRM_SOURCE_DIR) / "tests/math/cases.jsonl")) {
        seeds.push_back(row.at("gold"));
        seeds.push_back(row.at("answer"));
    }
    const Mutator mutator(seeds);
    const char* wanted = std::getenv("TDRM_FUZZ_ROUNDS");
    const std::uint64_t pairs = wanted ? std::strtoull(wanted, nullptr, 10) : 20'000;
    VerifyOptions options;
    options.budget = 50'000;
    std::uint64_t equal = 0, over = 0, largest = 0;
    for (std::uint64_t i = 0; i < pairs; ++i) {
        Random random(random_key(1, "verifier fuzz", i));
        const std::string gold = mutator.make(random), answer = mutator.make(random);
        const Verdict verdict = verify(gold, i % 4 == 0 ? gold + "." : answer, options);
        ASSERT_LE(verdict.operations, options.budget) << gold << "  |  " << answer;
        ASSERT_FALSE(verdict.reason.empty());
        equal += verdict.equal ? 1 : 0;
        over += verdict.reason == "budget" ? 1U : 0U;
        largest = std::max(largest, verdict.operations);
    }
    std::cout << pairs << " pairs, " << equal << " equal, " << over << " over the budget, at most " << largest
              << " operations\n";
    EXPECT_GT(equal, pairs / 8);  // a quarter are nearly the same text
}

}  // namespace
}  // namespace tdrm::math::test
