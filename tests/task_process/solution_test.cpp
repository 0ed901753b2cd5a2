#include "tdrm/task/process/solution.hpp"

#include <cmath>
#include <cstdlib>
#include <optional>

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::task::process {
namespace {

/// Labels as text: + right, - wrong, ? not known.
std::string signs(const LabelledSolution& solution) {
    std::string text;
    for (const float label : solution.label) text += std::isnan(label) ? '?' : label == 1 ? '+' : '-';
    return text;
}
std::string outcome(const LabelledSolution& solution) {
    return !solution.outcome ? "?" : *solution.outcome ? "+" : "-";
}

ReadResult read(const std::string& sample, ReadRules rules) { return read_solutions({kSamples / sample}, rules); }

TEST(Prm800k, AnErrorEndsThePathAndAlternativesBecomeSolutionsOfTheirOwn) {
    const auto result = read("prm800k.jsonl", {.format = Format::prm800k});
    ASSERT_EQ(result.solutions.size(), 7U);
    const auto& path = result.solutions[0];
    EXPECT_EQ(path.problem, "What is $2+3\\cdot 4$?");
    EXPECT_EQ(path.answer, "14");
    EXPECT_EQ(path.steps, (std::vector<std::string>{"I multiply first.", "$3\\cdot 4=7$."}));
    EXPECT_EQ(signs(path), "+-");
    EXPECT_EQ(outcome(path), "-");
    EXPECT_FALSE(path.complete);
    // Alternatives: a right one (outcome not known), a neutral one; the flagged one has no rating.
    EXPECT_EQ(result.solutions[1].steps.back(), "$3\\cdot 4=12$.");
    EXPECT_EQ(signs(result.solutions[1]), "++");
    EXPECT_EQ(outcome(result.solutions[1]), "?");
    EXPECT_EQ(signs(result.solutions[2]), "++");
    EXPECT_EQ(result.counts.at("noticed: alternative without a rating"), 1);
}

TEST(Prm800k, APersonsStepIsRightAndAnAnswerReachedIsTheOutcome) {
    const auto result = read("prm800k.jsonl", {.format = Format::prm800k});
    const auto& path = result.solutions[3];
    EXPECT_EQ(path.steps[1], "$2+12=14$.");
    EXPECT_EQ(path.steps[2], "So the answer is 14.\n\n# Answer\n\n14");
    EXPECT_EQ(signs(path), "+++");
    EXPECT_EQ(outcome(path), "+");
    EXPECT_TRUE(path.complete);
    EXPECT_EQ(result.solutions[4].steps, (std::vector<std::string>{"$2+3=5$."}));
    EXPECT_EQ(outcome(result.solutions[4]), "-");
    EXPECT_EQ(result.solutions[5].steps, (std::vector<std::string>{"$3\\cdot 4=12$.", "$2+12=13$."}));
    EXPECT_EQ(signs(result.solutions[6]), "?+")
        << "a null rating is no label, and a step without completions ends the path";
    EXPECT_EQ(outcome(result.solutions[6]), "?");
}

TEST(Prm800k, RulesForNeutralAlternativesAndQualityControlDoWhatTheySay) {
    EXPECT_EQ(signs(read("prm800k.jsonl", {.neutral = Neutral::wrong}).solutions[0]), "--");
    EXPECT_EQ(signs(read("prm800k.jsonl", {.neutral = Neutral::unlabelled}).solutions[0]), "?-");
    EXPECT_EQ(read("prm800k.jsonl", {.alternatives = false}).solutions.size(), 3U);
    EXPECT_EQ(read("prm800k.jsonl", {.quality_control = true}).solutions.size(), 8U);
    const auto counts = read("prm800k.jsonl", {}).counts;
    EXPECT_EQ(counts.at("rows"), 5);
    EXPECT_EQ(counts.at("dropped: row of a bad problem"), 1);
    EXPECT_EQ(counts.at("dropped: row for quality control"), 1);
    EXPECT_EQ(counts.at("kept solutions"), 7);
    EXPECT_EQ(counts.at("outcome right"), 1);
}

TEST(MathShepherd, TagsSplitTheStepsAndTheLastSignIsTheOutcome) {
    const auto result = read("math_shepherd.jsonl", {.format = Format::math_shepherd});
    ASSERT_EQ(result.solutions.size(), 4U);
    EXPECT_EQ(result.solutions[0].problem, "Tom has 3 apples and buys 4. How many has he?");
    EXPECT_EQ(result.solutions[0].steps,
              (std::vector<std::string>{"Step 1: Tom has 3 apples.", "Step 2: 3 + 4 = <<3+4=7>>7.",
                                        "Step 3: The answer is: 7"}));
    EXPECT_EQ(signs(result.solutions[1]), "+--");
    EXPECT_EQ(outcome(result.solutions[1]), "-");
    // A tag in the question.
    EXPECT_EQ(result.solutions[2].problem, "Parker has 3 eggs.  and eats one. How many are left?");
    EXPECT_EQ(result.solutions[2].steps.front(), "Step 1: 3 - 1 = 2.");
    EXPECT_EQ(signs(result.solutions[2]), "++");
    EXPECT_EQ(result.solutions[3].problem, "Find $x+1$ for $x=1$?");
    EXPECT_EQ(result.solutions[3].steps.front(), "We add and get 2.");
    EXPECT_EQ(result.counts.at("dropped: question and first step can't be told apart"), 1);
    EXPECT_EQ(result.counts.at("noticed: tag inside of the question"), 1);
}

TEST(Rlhflow, TheFirstTurnHoldsTheQuestionAndTheFirstStep) {
    const auto result = read("rlhflow.jsonl", {.format = Format::rlhflow});
    ASSERT_EQ(result.solutions.size(), 2U);
    EXPECT_EQ(result.solutions[0].problem, "Ann reads 5 pages a day. How many in 2 days?");
    EXPECT_EQ(result.solutions[0].steps.front(), "Step 1: She reads 5 pages a day.");
    EXPECT_EQ(signs(result.solutions[1]), "+-");
    EXPECT_EQ(result.solutions[1].problem, "Convert 2 m to cm.");
    EXPECT_EQ(result.counts.at("dropped: question and first step can't be told apart"), 1);
}

TEST(Trl, LabelsAreTrueOrFalseAndEmptyStepsAreCounted) {
    const auto result = read("trl.jsonl", {.format = Format::trl});
    ASSERT_EQ(result.solutions.size(), 2U);
    EXPECT_EQ(signs(result.solutions[0]), "+--");
    EXPECT_EQ(result.solutions[1].problem, "What is 1+1?");
    EXPECT_EQ(result.counts.at("dropped: no step"), 1);
    EXPECT_EQ(result.counts.at("dropped: step without text"), 1);
}

TEST(ReadSolutions, RulesForStepsAfterAnErrorAndForOutcomes) {
    const auto trl = [](AfterError after, OutcomeFrom from) {
        TextFile file(R"({"prompt": "q", "completions": ["a", "b", "c"], "labels": [true, false, true]})");
        const auto result =
            read_solutions({file.path()}, {.format = Format::trl, .after_error = after, .outcome = from});
        return signs(result.solutions[0]) + " " + outcome(result.solutions[0]);
    };
    EXPECT_EQ(trl(AfterError::given, OutcomeFrom::format), "+-+ +");
    EXPECT_EQ(trl(AfterError::wrong, OutcomeFrom::last_label), "+-- +") << "the outcome is of the labels as given";
    EXPECT_EQ(trl(AfterError::unlabelled, OutcomeFrom::no_error), "+-? -");
    EXPECT_EQ(trl(AfterError::given, OutcomeFrom::unknown), "+-+ ?");
}

TEST(ReadSolutions, SoftLabelsAreKeptAndDecideBelowAndAboveAHalf) {
    const auto read_row = [](const std::string& row, ReadRules rules) {
        TextFile file(row);
        return read_solutions({file.path()}, rules);
    };
    const std::string trl = R"({"prompt": "q", "completions": ["a", "b", "c"], "labels": [0.8, 0.3, 1]})";
    auto result = read_row(trl, {.format = Format::trl});
    EXPECT_EQ(result.solutions[0].label, (std::vector<float>{0.8F, 0.3F, 1.0F}));
    EXPECT_EQ(result.counts.at("steps soft"), 2);
    EXPECT_EQ(result.counts.at("steps right"), 1);
    EXPECT_EQ(result.solutions[0].outcome, 1.0F) << "the label of the last step";
    result = read_row(trl, {.format = Format::trl, .after_error = AfterError::wrong, .outcome = OutcomeFrom::no_error});
    EXPECT_EQ(result.solutions[0].label, (std::vector<float>{0.8F, 0.3F, 0.0F}));
    EXPECT_EQ(result.solutions[0].outcome, 0.0F);
    result =
        read_row(R"({"prompt": "q", "completions": ["a"], "labels": [0.6], "outcome": 0.25})", {.format = Format::trl});
    EXPECT_EQ(result.solutions[0].outcome, 0.25F);
    EXPECT_EQ(result.counts.at("outcome soft"), 1);
    result =
        read_row(R"({"prompt": "q", "completions": ["a"], "labels": [0.6], "outcome": null})", {.format = Format::trl});
    EXPECT_EQ(result.solutions[0].outcome, 0.6F);
    result = read_row(R"({"prompt": "q", "completions": ["a"], "labels": [0.5]})",
                      {.format = Format::trl, .outcome = OutcomeFrom::no_error});
    EXPECT_EQ(result.solutions[0].outcome, 1.0F) << "0.5 isn't below a half";
    result = read_row(
        R"({"conversations": [{"role": "user", "content": "q? a"}, {"role": "assistant", "content": "0.75"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "-"}]})",
        {.format = Format::rlhflow});
    EXPECT_EQ(result.solutions[0].label, (std::vector<float>{0.75F, 0.0F}));
    result = read_row(R"({"problem": "q", "steps": ["a"], "label": -1, "final_answer_correct": 0.8})",
                      {.format = Format::processbench});
    EXPECT_EQ(result.solutions[0].outcome, 0.8F);
}

TEST(ReadSolutions, ABrokenRowIsRefusedWithItsLineOrCounted) {
    const struct {
        Format format;
        std::string row, says;
    } cases[] = {
        {Format::trl, R"({"prompt": "q", "completions": ["a"], )", "isn't JSON"},
        {Format::trl, R"("prompt")", "isn't a JSON object"},
        {Format::trl, R"({"prompt": "q", "completions": ["a"]})", "\"labels\" is missing"},
        {Format::trl, R"({"prompt": "q", "completions": ["a"], "labels": [true, false]})", "2 labels for 1 steps"},
        {Format::trl, R"({"prompt": "q", "completions": ["a"], "labels": [1.5]})", "1.5 is neither true nor false"},
        {Format::trl, R"({"prompt": "q", "completions": ["a"], "labels": [-0.1]})", "-0.1 is neither true nor false"},
        {Format::trl, R"({"prompt": "q", "completions": ["a"], "labels": [null]})", "null or NaN is neither"},
        {Format::trl, R"({"prompt": "q", "completions": ["a"], "labels": ["0.5"]})", "\"0.5\" is neither"},
        {Format::trl, R"({"prompt": "q", "completions": ["a"], "labels": [0.5], "outcome": 2})", "the outcome 2 is"},
        {Format::trl, R"({"prompt": "q", "completions": [1], "labels": [true]})", "isn't a list of texts"},
        {Format::math_shepherd, R"({"input": "q? Step 1: a ки", "label": "q? Step 1: a *"})", "'*', neither + nor -"},
        {Format::math_shepherd, R"({"input": "q? Step 1: a ки", "label": "q? Step 1: b +"})",
         "isn't \"input\" with a sign"},
        {Format::math_shepherd, R"({"input": "q? Step 1: a ки", "label": "q? Step 1: a "})", "fewer signs"},
        {Format::math_shepherd, R"({"input": "q? Step 1: a ки", "label": "q? Step 1: a + b"})", "goes on"},
        {Format::rlhflow, R"({"conversations": [{"role": "user", "content": "q? a"}]})", "no answer"},
        {Format::rlhflow,
         R"({"conversations": [{"role": "user", "content": "q? a"}, {"role": "assistant", "content": "yes"}]})",
         "\"yes\" is neither"},
        {Format::rlhflow,
         R"({"conversations": [{"role": "user", "content": "q? a"}, {"role": "assistant", "content": "1.1"}]})",
         "\"1.1\" is neither + nor -"},
        {Format::rlhflow,
         R"({"conversations": [{"role": "user", "content": "q? a"}, {"role": "assistant", "content": "nan"}]})",
         "\"nan\" is neither"},
        {Format::math_shepherd, R"({"input": "q? Step 1: a ки", "label": "q? Step 1: a é"})", "'é', neither + nor -"},
        {Format::processbench, R"({"problem": "q", "steps": ["a"], "label": 0, "final_answer_correct": "no"})",
         "final_answer_correct \"no\" is neither"},
        {Format::rlhflow,
         R"({"conversations": [{"role": "assistant", "content": "+"}, {"role": "user", "content": "q"}]})",
         "user, assistant"},
        {Format::prm800k,
         R"({"question": {"problem": "q"}, "label": {"finish_reason": "solution", "steps": [{"completions": [{"text": "a", "rating": 2}], "chosen_completion": 0}]}})",
         "rating 2 is none of"},
        {Format::prm800k,
         R"({"question": {"problem": "q"}, "label": {"finish_reason": "solution", "steps": [{"completions": [{"text": "a", "rating": 1}], "chosen_completion": 1}]}})",
         "outside of the 1 completions"},
        {Format::prm800k, R"({"question": {"problem": "q"}, "label": {"finish_reason": "bored", "steps": []}})",
         "\"bored\" is unknown"},
        {Format::processbench, R"({"problem": "q", "steps": ["a"], "label": 1})", "label 1 is outside of the 1 steps"},
        {Format::processbench, R"({"problem": "q", "steps": ["a"], "label": "none"})", "no index"},
    };
    const std::string good[] = {"", R"({"prompt": "q", "completions": ["a"], "labels": [true]})"};
    for (const auto& each : cases) {
        TextFile file("\n" + each.row + "\n");
        const auto message =
            message_of<DataError>([&] { (void)read_solutions({file.path()}, {.format = each.format}); });
        EXPECT_NE(message.find(each.says), std::string::npos) << each.row << "\n" << message;
        EXPECT_NE(message.find("rows.jsonl line 2"), std::string::npos) << message;
        if (each.format != Format::trl) continue;
        TextFile mixed(each.row + "\n" + good[1] + "\n");
        const auto result = read_solutions({mixed.path()}, {.format = Format::trl, .broken = BrokenRows::skip});
        EXPECT_EQ(result.solutions.size(), 1U);
        EXPECT_EQ(result.counts.at("dropped: broken row"), 1);
    }
}

TEST(ReadSolutions, RefusesFilesOfNothing) {
    EXPECT_THROW((void)read_solutions({kSamples / "missing.jsonl"}, {}), IoError);
    EXPECT_THROW((void)read_solutions({kSamples}, {}), IoError);
    TextFile empty("");
    EXPECT_THROW((void)read_solutions({empty.path()}, {}), DataError);
    EXPECT_THROW((void)read("trl.jsonl", {.format = Format::processbench, .broken = BrokenRows::skip}), DataError)
        << "another format";
}

TEST(ReadSolutions, GzippedFilesAreReadAndCutOnesRefused) {
    TextFile file(R"({"prompt": "q", "completions": ["a"], "labels": [true]})"
                  "\n");
    ASSERT_EQ(std::system(("gzip -kn '" + file.path().string() + "'").c_str()), 0);
    const auto zipped = file.path().string() + ".gz";
    EXPECT_EQ(read_solutions({zipped}, {.format = Format::trl}).solutions.size(), 1U);
    std::filesystem::resize_file(zipped, std::filesystem::file_size(zipped) - 10);
    EXPECT_THROW((void)read_solutions({zipped}, {.format = Format::trl}), DataError);
}

TEST(ReadSolutions, ProcessBenchGivesTheFirstErrorAndNothingAfterIt) {
    std::size_t rows = 0;
    std::map<std::string, std::int64_t> right;
    const auto folder =
        std::filesystem::exists(kReal / "processbench") ? kReal / "processbench" : kBenchmarkFolder / "processbench";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const auto result = read_solutions({entry.path()}, {.format = Format::processbench});
        rows += result.solutions.size();
        for (const auto& solution : result.solutions) {
            const std::string all = signs(solution);
            const auto error = all.find('-');
            EXPECT_EQ(all, error == std::string::npos
                               ? std::string(all.size(), '+')
                               : std::string(error, '+') + "-" + std::string(all.size() - error - 1, '?'));
        }
        right[entry.path().filename().string()] = result.counts.at("outcome right");
    }
    EXPECT_EQ(rows, folder == kReal / "processbench" ? 3400U : 40U);
    if (folder == kReal / "processbench") {
        EXPECT_EQ(right["math.json.gz"], 500);
    }
}

}  // namespace
}  // namespace tdrm::task::process
