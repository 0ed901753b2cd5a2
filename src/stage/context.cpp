#include "tdrm/stage/context.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::stage {

void RunOptions::fields(Fields& f) {
    f("dir", dir, "folder of the run").required().not_identity();
    f("seed", seed, "seed of every stage that has none of its own", at_least(0));
    f("sum", sum,
      "gradients over ranks: exact = same bits on any number of ranks; dealt = the same bits in less memory, each rank "
      "the total of its parts, unit by unit; fast = fp32; auto = exact");
    f("device", device, "where models compute: auto = cpu today; emulated = the code of GPUs on a processor, slow");
    f("products", products,
      "how processors multiply matrices: fp32; bf16 = operands rounded to bf16, fp32 sums, by AMX or AVX512-BF16");
    f("silence", silence, "end the job when a rank says nothing for so long", at_least(1)).not_identity();
    f("wait", wait, "how long to wait for an earlier start in the same folder to end", at_least(0)).not_identity();
}

std::vector<Input> StageContext::inputs_of(std::string_view key) const {
    std::vector<Input> found;
    for (const Input& each : inputs)
        if (each.key == key ||
            (each.key.starts_with(key) && each.key.size() > key.size() && each.key[key.size()] == '['))
            found.push_back(each);
    return found;
}

const Input& StageContext::input(std::string_view key) const {
    for (const Input& each : inputs)
        if (each.key == key) return each;
    throw ConfigError(
        cat("stage ", node.name, " has no ", key, " (it names the stage to read from). Add it to the run file."));
}

namespace {

void verify_folder(const std::filesystem::path& directory) {
    const auto problems = store::verify(directory);
    if (problems.empty()) return;
    throw DataError(cat(directory.string(), " is damaged: ", problems.front(),
                        " (results would be wrong). Make it again with --redo ", directory.filename().string(), "."));
}

}  // namespace

rollout::Trajectories load_trajectories(StageContext& context, const Input& input) {
    return context.ranks.agree("loading " + input.label, [&] {
        if (std::filesystem::is_directory(input.directory)) {
            verify_folder(input.directory);
            return rollout::Trajectories::read(store::FileReader(input.directory / "trajectories.h5"));
        }
        return rollout::Trajectories::read(store::FileReader(input.directory));
    });
}

void warn_if_idle(const StageContext& context, std::int64_t units) {
    if (context.ranks.root() && units < context.ranks.size())
        log::warn(cat("stage ", context.node.name, " has ", units, " units of work for ", context.ranks.size(),
                      " ranks, so some stay idle (results don't change). Use fewer ranks, or smaller units."));
}

}  // namespace tdrm::stage
