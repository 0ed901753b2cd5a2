#include <algorithm>
#include <charconv>
#include <functional>
#include <numeric>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::store {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr std::int64_t kReadElements = std::int64_t{1} << 22;  ///< read at once, 16 MiB

std::int64_t elements(const Shape& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::string join(const std::vector<std::string>& lines) {
    std::string joined;
    for (const std::string& line : lines) joined += (joined.empty() ? "" : "; ") + line;
    return joined;
}

[[noreturn]] void throw_damaged(const fs::path& directory, const std::vector<std::string>& problems) {
    throw DataError(cat("checkpoint ", directory.string(), " is damaged: ", join(problems),
                        " (results would be wrong). Make the stage that wrote it again: --redo ",
                        directory.parent_path().filename().string(), "."));
}

Type type_named(const std::string& name, const fs::path& directory) {
    if (name == "bfloat16") return Type::bfloat16;
    throw DataError(cat(directory.string(), " holds numbers of type ", name,
                        ", which this version doesn't know. Use the program that wrote it."));
}

}  // namespace

Checkpoint::Checkpoint(const fs::path& directory) : directory_(directory) {
    const FileReader file(directory / "checkpoint.h5");
    try {
        if (file.attribute<std::string>("/", "format") != "tdrm checkpoint" ||
            file.attribute<std::int64_t>("/", "version") != 1) {
            throw DataError(
                cat(directory.string(), " is a checkpoint of another version. Use the program that wrote it."));
        }
        progress_ = parse_json(file.read_strings("progress").at(0), cat(directory.string(), ", progress"));
        const json layout = parse_json(file.read_strings("layout").at(0), cat(directory.string(), ", layout"));
        for (const json& entry : layout) {
            State state;
            state.size = entry.at("size");
            if (entry.contains("type")) state.type = type_named(entry.at("type"), directory);
            for (const json& tensor : entry.at("tensors")) {
                state.tensors.push_back({tensor.at("name"), tensor.at("shape"), tensor.at("offset")});
            }
            for (const json& piece : entry.at("pieces")) {
                state.pieces.push_back({piece.at("file"), piece.at("begin"), piece.at("count")});
            }
            states_.emplace(entry.at("group"), std::move(state));
        }
    } catch (const json::exception& error) {
        throw DataError(
            cat((directory / "checkpoint.h5").string(), " has a layout that can't be read (", error.what(), ")."));
    } catch (const std::out_of_range&) {
        throw DataError(cat((directory / "checkpoint.h5").string(), " has no layout or progress."));
    }
}

std::vector<std::string> Checkpoint::groups() const {
    std::vector<std::string> names;
    for (const auto& [name, state] : states_) names.push_back(name);
    return names;
}

bool Checkpoint::has(std::string_view group) const { return states_.contains(std::string(group)); }

const Checkpoint::State& Checkpoint::state(std::string_view group) const {
    const auto found = states_.find(std::string(group));
    if (found == states_.end()) {
        throw DataError(cat("checkpoint ", directory_.string(), " has no ", group, ", only ", join(groups()), "."));
    }
    return found->second;
}

const std::vector<TensorView>& Checkpoint::tensors(std::string_view group) const { return state(group).tensors; }
std::int64_t Checkpoint::size(std::string_view group) const { return state(group).size; }
Type Checkpoint::type(std::string_view group) const { return state(group).type; }

std::vector<float> Checkpoint::read_flat(std::string_view group) const {
    std::vector<float> data(static_cast<std::size_t>(size(group)));
    const TensorView all{"all", {size(group)}, 0};
    read_views(group, {&all, 1}, [&](std::size_t, std::int64_t first, std::span<const float> values) {
        std::copy(values.begin(), values.end(), data.begin() + first);
    });
    return data;
}

// Part by part, each file opened once.
void Checkpoint::read_views(std::string_view group, std::span<const TensorView> saved, const Take& take) const {
    std::vector<float> values;
    for (const Piece& piece : state(group).pieces) {
        const FileReader file(directory_ / piece.file);
        for (std::size_t i = 0; i < saved.size(); ++i) {
            const std::int64_t last = std::min(saved[i].offset + elements(saved[i].shape), piece.begin + piece.count);
            for (std::int64_t begin = std::max(saved[i].offset, piece.begin); begin < last;) {
                const std::int64_t count = std::min(kReadElements, last - begin);
                if (type(group) == Type::float32) {
                    values.resize(static_cast<std::size_t>(count));
                    file.read_into(group, begin - piece.begin, std::span(values));
                } else {
                    const auto stored = file.read_range<BFloat16>(group, begin - piece.begin, count);
                    values.resize(stored.size());
                    std::transform(stored.begin(), stored.end(), values.begin(),
                                   [](BFloat16 x) { return to_float(x); });
                }
                take(i, begin - saved[i].offset, values);
                begin += count;
            }
        }
    }
}

void Checkpoint::read_flat(std::string_view group, std::span<float> data, std::span<const TensorView> wanted) const {
    deliver(group, wanted, [&](std::int64_t first, std::span<const float> values) {
        ensure(first >= 0 && first + std::ssize(values) <= std::ssize(data), "a tensor lies within its flat buffer");
        std::copy(values.begin(), values.end(), data.begin() + first);
    });
}

void Checkpoint::deliver(std::string_view group, std::span<const TensorView> wanted, const Sink& sink) const {
    std::map<std::string, const TensorView*> saved_by_name;
    for (const TensorView& tensor : tensors(group)) saved_by_name[tensor.name] = &tensor;
    std::vector<std::string> problems;
    std::vector<TensorView> saved;
    std::vector<std::int64_t> offsets;
    for (const TensorView& tensor : wanted) {
        const auto found = saved_by_name.find(tensor.name);
        if (found == saved_by_name.end()) {
            problems.push_back(cat(tensor.name, " is missing"));
            continue;
        }
        if (found->second->shape != tensor.shape) {
            problems.push_back(cat(tensor.name, " has shape ", json(found->second->shape).dump(),
                                   ", the model expects ", json(tensor.shape).dump()));
        }
        saved.push_back(*found->second);
        offsets.push_back(tensor.offset);
        saved_by_name.erase(found);
    }
    for (const auto& [name, tensor] : saved_by_name) problems.push_back(cat(name, " isn't in the model"));
    if (!problems.empty()) {
        throw DataError(cat(group, " of checkpoint ", directory_.string(), " doesn't fit the model: ", join(problems),
                            ". Was it made with other model options?"));
    }
    read_views(group, saved, [&](std::size_t i, std::int64_t first, std::span<const float> values) {
        sink(offsets[i] + first, values);
    });
}

std::vector<std::string> Checkpoint::deliver_common(std::string_view group, std::span<const TensorView> wanted,
                                                    const Sink& sink) const {
    std::vector<std::string> missing;
    std::vector<TensorView> saved;
    std::vector<std::int64_t> offsets;
    for (const TensorView& tensor : wanted) {
        const auto& all = tensors(group);
        const auto found = std::find_if(all.begin(), all.end(), [&](const TensorView& each) {
            return each.name == tensor.name && each.shape == tensor.shape;
        });
        if (found == all.end()) {
            missing.push_back(tensor.name);
            continue;
        }
        saved.push_back(*found);
        offsets.push_back(tensor.offset);
    }
    read_views(group, saved, [&](std::size_t i, std::int64_t first, std::span<const float> values) {
        sink(offsets[i] + first, values);
    });
    return missing;
}

std::map<std::string, Tensor> Checkpoint::read(std::string_view group) const {
    std::map<std::string, Tensor> tensors_by_name;
    for (const TensorView& view : tensors(group))
        tensors_by_name[view.name] = {view.shape, std::vector<float>(static_cast<std::size_t>(elements(view.shape)))};
    read_views(group, tensors(group), [&](std::size_t i, std::int64_t first, std::span<const float> values) {
        std::copy(values.begin(), values.end(), tensors_by_name[tensors(group)[i].name].values.begin() + first);
    });
    return tensors_by_name;
}

Checkpoint load_checkpoint(const fs::path& directory) {
    if (const auto problems = verify(directory); !problems.empty()) throw_damaged(directory, problems);
    return Checkpoint(directory);
}

Checkpoint load_checkpoint(comm::Communicator& ranks, const fs::path& directory) {
    ranks.agree("verifying the checkpoint", [&] {
        const Manifest manifest = read_manifest(directory);
        std::vector<std::string> problems;
        for (std::size_t i = 0; i < manifest.files.size(); ++i) {
            if (static_cast<int>(i % static_cast<std::size_t>(ranks.size())) != ranks.rank()) continue;
            if (std::string problem = problem_of(directory, manifest.files[i]); !problem.empty())
                problems.push_back(problem);
        }
        if (!problems.empty()) throw_damaged(directory, problems);
    });
    return ranks.agree("opening the checkpoint", [&] { return Checkpoint(directory); });
}

NewestCheckpoint newest_valid_checkpoint(const fs::path& stage_directory, std::string_view name_prefix,
                                         const std::function<std::string(const fs::path&)>& problem) {
    NewestCheckpoint newest;
    std::vector<std::pair<std::int64_t, fs::path>> candidates;
    std::error_code error;
    if (!fs::exists(stage_directory, error)) return newest;
    for (fs::directory_iterator entry(stage_directory, error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (!name.starts_with(name_prefix)) continue;
        const std::string_view digits = std::string_view(name).substr(name_prefix.size());
        std::int64_t number = 0;
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size())
            candidates.emplace_back(number, entry->path());
    }
    if (error) throw IoError(cat("can't list ", stage_directory.string(), " (", error.message(), ")."));
    std::sort(candidates.rbegin(), candidates.rend());
    for (const auto& [number, directory] : candidates) {
        std::vector<std::string> problems = verify(directory);
        if (problems.empty() && problem) {
            if (std::string other = problem(directory); !other.empty()) problems.push_back(std::move(other));
        }
        if (problems.empty()) {
            newest.directory = directory;
            break;
        }
        newest.damaged.push_back({directory, std::move(problems)});
    }
    return newest;
}

}  // namespace tdrm::store
