// The verifier of mathematical answers: are two answers the same, and why.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <string_view>

#include "tdrm/math/compare.hpp"
#include "tdrm/math/extract.hpp"

namespace tdrm::math {

struct VerifyOptions {
    CompareOptions compare;
    ExtractOptions extract;
    bool decimal_comma = false;      ///< "0,5" may be 0.5 as well as a list
    std::uint64_t budget = 200'000;  ///< operations of one verdict, at most (about 20 ms)
};

struct Verdict {
    bool equal = false;
    /// "same text", "same value", "same choice"; "different" (a value was refuted), "different text" (both are words);
    /// "undecided" (neither proven nor refuted; counts as not equal), "budget" (likewise); "no answer",
    /// "no gold answer".
    std::string reason;
    std::string gold;  ///< normalised form: the tree's text, or the plain text if it isn't mathematics
    std::string answer;
    std::uint64_t operations = 0;  ///< spent, never above the budget
};

/// Whether `answer`, a whole solution or only its answer, gives `gold` (likewise). Both are extracted, parsed and
/// compared. Deterministic: depends on the arguments alone. Never throws on any text and never spends more than the
/// budget; work outside of it (finding the answer) is linear in the length. Local, thread-safe.
[[nodiscard]] Verdict verify(std::string_view gold, std::string_view answer, const VerifyOptions& options = {});

/// Reads JSONL lines {"gold": ..., "answer": ...} (strings or numbers; optional: "precision", "abs_tolerance",
/// "strict_symbols", "positive_variables", "decimal_comma", "allow_set_relation") and writes one JSON line for each:
/// {"line", "equal", "reason", "gold", "answer", "operations"}, for a broken one {"line", "equal": false, "reason":
/// "error", "error"}. Empty lines are skipped. Returns how many pairs were equal and how many there were. Local.
/// @throws DataError if lines were broken, with the number of the first, after all verdicts have been written.
/// @throws IoError if the file can't be read.
struct VerifyCounts {
    std::uint64_t pairs = 0;
    std::uint64_t equal = 0;
    std::uint64_t broken = 0;
};
VerifyCounts verify_file(const std::filesystem::path& path, std::ostream& out, const VerifyOptions& options = {});

}  // namespace tdrm::math
