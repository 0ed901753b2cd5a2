// The identity of a folder: its files' content.
#include <set>
#include <sstream>

#include "tdrm/base/hash.hpp"
#include "tdrm/model/pretrained.hpp"
#include "weight_files.hpp"

namespace tdrm::model {
namespace {

namespace fs = std::filesystem;

/// "name hash" of the files whose number is `share` modulo `shares`, one a line.
std::string file_hashes(const fs::path& reference, int share, int shares) {
    const ModelPath path = model_path(reference);
    std::vector<std::pair<std::string, fs::path>> files;
    auto names = weight_files(path.base);
    names.insert("config.json");
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
        if (fs::exists(path.base / name)) names.insert(name);
    for (const std::string& name : names) files.emplace_back(name, path.base / name);
    for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json",
                             "tokenizer_config.json", "chat_template.jinja"})
        if (!path.adapter.empty() && fs::exists(path.adapter / name))
            files.emplace_back(std::string("adapter/") + name, path.adapter / name);
    std::string lines;
    int number = 0;
    for (const auto& [name, file] : files)
        if (number++ % shares == share) lines += name + " " + hash_file(file) + "\n";
    return lines;
}

/// The order of lines, and so the number of shares, doesn't matter.
std::string hash_of_lines(const std::vector<std::string>& shares) {
    std::set<std::string> lines;
    for (const std::string& share : shares) {
        std::istringstream text(share);
        for (std::string line; std::getline(text, line);) lines.insert(line);
    }
    Hasher hasher;
    for (const std::string& line : lines) hasher.update(line + "\n");
    return hasher.hex();
}

}  // namespace

std::string pretrained_hash(const fs::path& directory) { return hash_of_lines({file_hashes(directory, 0, 1)}); }

std::string pretrained_hash(comm::Communicator& ranks, const fs::path& directory) {
    const std::string mine = ranks.agree("hashing " + directory.string(),
                                         [&] { return file_hashes(directory, ranks.rank(), ranks.size()); });
    return hash_of_lines(ranks.all_gather_bytes(mine));
}

}  // namespace tdrm::model
