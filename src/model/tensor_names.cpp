#include <algorithm>
#include <array>
#include <string_view>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/text.hpp"
#include "weight_files.hpp"

namespace tdrm::model {
namespace {

/// Every decoder has it, and no tower of pictures.
constexpr std::string_view kMark = "layers.0.mlp.down_proj.weight";
/// What wrappers of compiled, sharded and checkpointed modules put into names.
constexpr std::array<std::string_view, 3> kWrappers{"_orig_mod.", "_fsdp_wrapped_module.",
                                                    "_checkpoint_wrapped_module."};

std::string without_wrappers(std::string name) {
    for (const std::string_view word : kWrappers)
        for (std::size_t at = name.find(word); at != std::string::npos; at = name.find(word, at))
            if (at == 0 || name[at - 1] == '.') {
                name.erase(at, word.size());
            } else {
                ++at;
            }
    return name;
}

bool ends_at_a_word(const std::string& name, std::string_view end) {
    return name.ends_with(end) && (name.size() == end.size() || name[name.size() - end.size() - 1] == '.');
}

/// Where the decoder's tensors are: what stands before "layers.0.".
std::string find_body(const std::vector<std::string>& names, const std::string& origin) {
    std::set<std::string> bodies;
    for (const std::string& name : names)
        if (ends_at_a_word(name, kMark)) bodies.insert(name.substr(0, name.size() - kMark.size()));
    if (bodies.empty() && std::ranges::any_of(names, [](const auto& n) { return n.starts_with("model.layers."); }))
        return "model.";  // cut off, which the list of missing tensors will say
    if (bodies.size() == 1) return *bodies.begin();
    std::string shown;
    for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 3); ++i)
        shown += cat(i == 0 ? "" : ", ", shortened(names[i], 100));
    if (bodies.empty())
        throw DataError(cat(origin, ": its tensors are called ", shown,
                            ", ... (a decoder that tdrm knows has one that "
                            "ends with ",
                            kMark, "). Save the model by its own class in transformers."));
    throw DataError(cat(origin, " holds several decoders, under \"", *bodies.begin(), "\" and \"", *bodies.rbegin(),
                        "\" (which of them is meant isn't known). Save the one that is wanted by itself."));
}

std::string plain_name(const std::string& name, const std::string& body) {
    const bool in_body = name.starts_with(body);
    const std::string rest = in_body ? name.substr(body.size()) : name;
    for (const char* part : {"embed_tokens.", "layers.", "norm."})
        if (in_body && rest.starts_with(part)) return "model." + rest;
    constexpr std::string_view kModel = "model.";
    if (!ends_at_a_word(body, kModel)) return name;
    const std::string outer = body.substr(0, body.size() - kModel.size());
    return name.starts_with(outer) ? name.substr(outer.size()) : name;
}

}  // namespace

std::map<std::string, std::string> plain_names(const std::vector<std::string>& names, const std::string& origin) {
    std::vector<std::string> bare;
    for (const std::string& name : names) bare.push_back(without_wrappers(name));
    const std::string body = find_body(bare, origin);
    std::map<std::string, std::string> renamed, meant;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::string plain = plain_name(bare[i], body);
        const auto [other, is_new] = meant.emplace(plain, names[i]);
        if (!is_new)
            throw DataError(cat(origin, ": ", other->second, " and ", names[i], " both mean ", plain,
                                " (which of them counts isn't known). Leave one out."));
        if (plain != names[i]) renamed[names[i]] = plain;
    }
    return renamed;
}

}  // namespace tdrm::model
