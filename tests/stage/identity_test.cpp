// Runs of earlier builds go on: a stage's options are hashed with all their defaults, in the order in which they are
// declared, and a run whose hash is another one is refused.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tdrm/base/errors.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::stage {
namespace {

std::string identities() {
    std::string text;
    for (const auto& [name, kind] : stage_kinds()) {
        Problems missing;  // options that have no default
        text += cat("do: ", name, "\n", kind.make(Yaml::map(), "", missing)->identity(), "\n");
    }
    return text;
}

TEST(Identity, OfEveryKindOfStageIsThatOfEarlierBuilds) {
    const std::string path = TDRM_SOURCE_DIR "/tests/stage/identities.txt";
    std::ifstream file(path);
    std::stringstream before;
    before << file.rdbuf();
    const std::string now = identities();
    if (now == before.str()) return;
    std::ofstream("identities.txt") << now;
    FAIL()
        << "Runs that were begun with an earlier build would be refused. If that is meant, say in CHANGELOG.md which "
           "stages must be made again, and put the identities.txt that lies in this folder now at "
        << path;
}

}  // namespace
}  // namespace tdrm::stage
