// Gold answers of the data sets with one thing changed are judged different.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "golds.hpp"

namespace tdrm::math::test {
namespace {

struct Perturbed {
    const char* kind;
    std::string text;
};

/// Answers in which a changed digit changes nothing, and two known gaps at the end.
const std::set<std::string> kStaysEqual = {
    // Multiples of one equation: both say a = 0.
    R"(\left(a^{2}\right)^{5}=a^{10}3)", "1_7", "1_6", "$1.09 \\times 10^{0}$",
    // A chain of equations is judged by its end.
    R"($i^{15}=\left(i^{4}\right)^{3} \cdot i^{3}=1 \cdot(-i)=-i$)",
    R"($i^{117}=\left(i^{4}\right)^{29} \cdot i=1 \cdot i=i$)", R"($i^{304}=\left(i^{4}\right)^{76}=1^{76}=1$)",
    R"($i^{8}=i^{4} \cdot i^{4}=\left(i^{4}\right)^{2}=(1)^{2}=1$)",
    R"($\cos \left(\frac{10 \pi}{3}\right)=-\frac{1}{2}, \sin \left(\frac{10 \pi}{3}\right)=-\frac{\sqrt{3}}{2}$)",
    R"($\cos \left(-\frac{13 \pi}{2}\right)=0, \sin \left(-\frac{13 \pi}{2}\right)=-1$)",
    R"($\max .\left(\frac{4}{\sqrt{5}}, \frac{2}{\sqrt{5}}\right) $)",
    // Powers of a unit without a name; a list of two half lines, read as both conditions.
    "45 \\text{ units}^2", R"($\{x \mid x \geq 3\},\{x \mid x \geq 0\}$)"};

/// Whether the digit is beyond those that decimals must agree in.
bool is_beyond_tolerance(const std::string& gold, std::size_t at) {
    std::size_t begin = at;
    while (begin > 0 && is_digit(gold[begin - 1])) --begin;
    return begin > 0 && gold[begin - 1] == '.' && at - begin >= 5;
}

void change_digits(const std::string& gold, std::vector<Perturbed>& out) {
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < gold.size(); ++i)
        if (is_digit(gold[i]) && !is_beyond_tolerance(gold, i)) places.push_back(i);
    for (const std::size_t which : {std::size_t{0}, places.size() / 2, places.size() - 1}) {
        if (which >= places.size()) continue;
        std::string text = gold;
        char& digit = text[places[which]];
        digit = digit == '9' ? '8' : static_cast<char>(digit + 1);
        out.push_back({"digit", std::move(text)});
    }
}

std::vector<Perturbed> perturbed(const std::string& gold) {
    std::vector<Perturbed> out;
    change_digits(gold, out);
    const bool single = gold.find_first_of(",=<>|") == std::string::npos && gold.find("\\pm") == std::string::npos;
    if (gold[0] == '-')
        out.push_back({"sign", gold.substr(1)});
    else if (single && gold.find_first_of("123456789") != std::string::npos &&
             (is_digit(gold[0]) || gold.starts_with("\\frac") || gold.starts_with("\\sqrt")))
        out.push_back({"sign", "-" + gold});
    if (const auto at = gold.find("\\frac{"); at != std::string::npos) {
        const auto middle = gold.find("}{", at),
                   end = middle == std::string::npos ? middle : gold.find('}', middle + 2);
        if (end != std::string::npos) {
            const std::string above = gold.substr(at + 6, middle - at - 6),
                              below = gold.substr(middle + 2, end - middle - 2);
            if (above != below && (above + below).find_first_of("{}") == std::string::npos)
                out.push_back({"fraction", gold.substr(0, at) + "\\frac{" + below + "}{" + above + gold.substr(end)});
        }
    }
    if (gold.find("infty") != std::string::npos || gold.find("\\cup") != std::string::npos) {
        for (const auto& [from, to] : {std::pair{'(', '['}, {'[', '('}, {')', ']'}, {']', ')'}}) {
            const auto at = gold.find(from);
            if (at == std::string::npos) continue;
            // An infinite end is open whatever its bracket.
            const bool left = from == '(' || from == '[';
            const std::string end = left ? gold.substr(at, gold.find(',', at) - at)
                                         : gold.substr(0, at).substr(gold.substr(0, at).rfind(',') + 1);
            if (end.find("infty") != std::string::npos) continue;
            std::string text = gold;
            text[at] = to;
            out.push_back({"bracket", std::move(text)});
        }
    }
    if (gold.starts_with('(') && gold.ends_with(')') && gold.find("infty") == std::string::npos &&
        gold.find(',') != std::string::npos) {
        const std::size_t comma = gold.find(','), rest = gold.size() - 1;
        const std::string first = gold.substr(1, comma - 1), others = gold.substr(comma + 1, rest - comma - 1);
        if (trimmed(first) != trimmed(others)) out.push_back({"order", "(" + others + "," + first + ")"});
        out.push_back({"element", "(" + first + "+1," + others + ")"});
    }
    return out;
}

TEST(Verifier, JudgesPerturbedGoldAnswersDifferent) {
    if (!std::filesystem::exists(shared_data())) GTEST_SKIP() << "no data sets; cases.jsonl holds pairs of each kind";
    struct Count {
        std::size_t pairs = 0, equal = 0;
    };
    std::map<std::string, Count> counts;
    const char* listing = std::getenv("TDRM_LIST_PERTURBED");
    const auto use = [&](const DataSet& set, const std::string& gold) {
        if (kStaysEqual.contains(gold)) return;
        if (extract_answer(gold).place != AnswerPlace::whole) return;  // prose: which part is the answer is a guess
        for (const Perturbed& other : perturbed(gold)) {
            const bool equal = verify(gold, other.text).equal;
            Count& count = counts[other.kind];
            ++count.pairs;
            count.equal += equal ? 1 : 0;
            if (equal && (listing || count.equal < 5))
                std::cout << "EQUAL " << other.kind << " " << set.file << ": " << gold << "  |  " << other.text << "\n";
        }
    };
    for_each_gold(use, [](const DataSet&, const std::string&) {});
    std::size_t pairs = 0, equal = 0;
    for (const auto& [kind, count] : counts) {
        std::cout << kind << ": " << count.equal << " of " << count.pairs << " judged equal\n";
        pairs += count.pairs;
        equal += count.equal;
    }
    EXPECT_GT(pairs, 100000U);
    EXPECT_EQ(equal, 0U);
}

}  // namespace
}  // namespace tdrm::math::test
