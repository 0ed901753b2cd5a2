// stage.json: records that are sealed rightly but hold something else are damage, not a bug of the program.
#include "tdrm/stage/record.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "../base/mutate.hpp"
#include "../store/temporary_folder.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/store/sealed.hpp"

namespace tdrm::stage {
namespace {

StageRecord good_record() {
    StageRecord record;
    record.kind = "sft";
    record.identity = "0123";
    record.identity_text = "kind: sft\noptions: {lr: 0.001}\n";
    record.done = true;
    record.outcome = {200, 100, {{"figure", 0.5}, {"list", {1, 2}}}};
    record.files = {{"results.json", 12, "abcd"}};
    return record;
}

TEST(Figures, AreALineForPeople) {
    const nlohmann::json figures{{"N", 16},
                                 {"by", "log_loss"},
                                 {"estimands", {{"outcome", "a long explanation"}}},
                                 {"majority", 0.186666},
                                 {"nothing", nullptr},
                                 {"pass@1", {{"base", 0.1}, {"rule", 0.125}}}};
    EXPECT_EQ(figures_text(figures),
              "N 16, by log_loss, majority 0.1867, nothing null, pass@1 of base 0.1, pass@1 of rule 0.125");
    EXPECT_EQ(figures_text(nlohmann::json::object()), "");
}

TEST(Record, IsReadAsItWasWritten) {
    const store::TemporaryFolder folder("record");
    good_record().write(folder.path());
    const auto read = StageRecord::read(folder.path());
    ASSERT_TRUE(read);
    EXPECT_EQ(read->identity_text, good_record().identity_text);
    EXPECT_EQ(read->outcome.updates, 200);
    EXPECT_EQ(read->outcome.results, good_record().outcome.results);
    EXPECT_EQ(read->files.at(0).hash, "abcd");
}

TEST(Record, OfAnyOtherFormIsReadOrRefused) {
    const store::TemporaryFolder folder("record");
    good_record().write(folder.path());
    const auto good = store::read_sealed(folder.path() / "stage.json");
    ASSERT_TRUE(good);
    Random random(random_key(1, "records"));
    std::uint64_t accepted = 0;
    const auto rounds = std::min<std::uint64_t>(fuzz_rounds(300), 10'000);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        nlohmann::json content = mutated(*good, random);
        if (!content.is_object()) continue;
        store::write_sealed(folder.path() / "stage.json", content);
        try {
            accepted += StageRecord::read(folder.path()) ? 1U : 0U;
        } catch (const DataError& error) {
            ASSERT_NE(std::string_view(error.what()).find("--redo"), std::string_view::npos) << error.what();
        }
    }
    EXPECT_GT(accepted, 0U);
    EXPECT_LT(accepted, rounds);
}

TEST(Record, TooDeepATextIsDamaged) {
    const store::TemporaryFolder folder("record");
    std::string deep;
    for (int i = 0; i < 200'000; ++i) deep += R"({"a":[)";
    std::ofstream(folder.path() / "stage.json") << deep;
    EXPECT_THROW((void)StageRecord::read(folder.path()), DataError);
}

}  // namespace
}  // namespace tdrm::stage
