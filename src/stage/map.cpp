#include "tdrm/stage/map.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/progress.hpp"
#include "tdrm/comm/session.hpp"
#include "tdrm/comm/work_counter.hpp"
#include "tdrm/store/directory.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::stage {
namespace {

std::string part_prefix(std::int64_t block) {
    std::string digits = std::to_string(block);
    digits.insert(0, digits.size() < 6 ? 6 - digits.size() : 0, '0');
    return "part-" + digits + ".";
}

std::filesystem::path parts_of(const MapWork& work) { return work.directory / "parts"; }

/// Blocks without a whole part, the same list on every rank.
std::vector<std::int64_t> missing_blocks(StageContext& context, const MapWork& work, std::int64_t blocks) {
    std::string text;
    context.ranks.agree("looking for finished parts", [&] {
        if (!context.ranks.root()) return;
        store::make_directories(parts_of(work));
        const auto parts = whole_parts(parts_of(work), blocks);
        for (const auto& part : parts) text += part.empty() ? '1' : '0';
    });
    text = context.ranks.broadcast_text(text);
    std::vector<std::int64_t> missing;
    for (std::size_t b = 0; b < text.size(); ++b)
        if (text[b] == '1') missing.push_back(static_cast<std::int64_t>(b));
    return missing;
}

void write_part(StageContext& context, const MapWork& work, std::int64_t block) {
    const std::int64_t begin = block * work.block;
    const std::int64_t end = std::min(begin + work.block, work.units);
    const ledger::In section(ledger::Section::work);
    context.watchdog.unit(cat("units ", begin, " to ", end - 1));
    const auto path = parts_of(work) / (part_prefix(block) + "h5");
    store::FileWriter part(path);
    work.work(begin, end, part);
    const auto entry = part.close();
    std::filesystem::rename(path, parts_of(work) / (part_prefix(block) + entry.hash + ".h5"));
    store::sync(parts_of(work));
}

}  // namespace

std::int64_t block_size(std::int64_t units, std::int64_t wanted) {
    return std::max<std::int64_t>(1, std::min(wanted, (units + 7) / 8));
}

std::vector<std::filesystem::path> whole_parts(const std::filesystem::path& directory, std::int64_t blocks) {
    std::vector<std::filesystem::path> parts(static_cast<std::size_t>(blocks));
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) files.push_back(entry.path());
    for (const auto& file : files) {
        const std::string name = file.filename().string();
        std::size_t block = parts.size();
        if (name.size() > 44 && name.starts_with("part-"))
            block = static_cast<std::size_t>(std::atoll(name.c_str() + 5));
        if (block < parts.size() && name == part_prefix(static_cast<std::int64_t>(block)) + hash_file(file) + ".h5") {
            parts[block] = file;
            continue;
        }
        if (name.size() > 44 && name.ends_with(".h5"))
            log::warn(cat(file.string(),
                          " is damaged (its bytes don't have the hash in its name), so it is computed again."));
        std::filesystem::remove_all(file);
    }
    return parts;
}

bool map_is_done(StageContext& context, const std::filesystem::path& directory) {
    const bool whole = context.ranks.agree("verifying " + directory.string(), [&] {
        if (!context.ranks.root()) return true;
        store::remove_leftovers(directory);
        if (!std::filesystem::exists(directory / "manifest.json")) return false;
        if (const auto problems = store::verify(directory); !problems.empty()) {
            log::warn(cat(directory.string(), " is damaged (", problems.front(), "), so it is computed again."));
            return false;
        }
        store::remove_directory(directory / "parts");
        return true;
    });
    return context.ranks.all(whole);
}

void run_map(StageContext& context, const MapWork& work) {
    auto& ranks = context.ranks;
    const std::int64_t blocks = (work.units + work.block - 1) / work.block;
    const auto missing = missing_blocks(context, work, blocks);
    const auto num_missing = static_cast<std::int64_t>(missing.size());
    {
        comm::WorkCounter counter(ranks);
        Progress progress(work.label, blocks, blocks - num_missing);
        ranks.agree(work.label, [&] {
            for (std::int64_t i = counter.next(); i < num_missing && !comm::stop_requested(); i = counter.next()) {
                write_part(context, work, missing[static_cast<std::size_t>(i)]);
                progress.update(blocks - num_missing + i + 1);
            }
        });
        if (!comm::stop_requested()) progress.update(blocks);  // another rank may have ended last
    }
    if (ranks.any(comm::stop_requested()))
        ranks.fail_together(Preempted(cat("stopped ", comm::stop_reason(), " during ", work.label,
                                          " (finished parts are kept). Start the same command again to go on.")));
    ranks.agree("merging " + work.label, [&] {
        if (!ranks.root()) return;
        const auto parts = whole_parts(parts_of(work), blocks);
        for (const auto& part : parts)
            if (part.empty())
                throw IoError(cat("a part of ", work.label, " vanished from ", parts_of(work).string(),
                                  " (the table would have a hole). Start the same command again."));
        const ledger::In section(ledger::Section::merge);
        work.merge(parts);
        store::remove_directory(parts_of(work));
    });
}

}  // namespace tdrm::stage
