#include "tokenizer_files.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm::text {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

Json read_object(const fs::path& path) {
    const auto text = read_file_if_there(path);
    if (!text) return Json::object();
    Json config = parse_ordered_json(*text, path.string());
    if (!config.is_object()) throw DataError(cat(path.string(), " isn't a JSON object. Correct the file."));
    return config;
}

/// Runs `read` on a file's content; what goes wrong names the file.
template <class Read>
auto with_file(const fs::path& path, Read&& read) {
    try {
        return read();
    } catch (const Json::exception& error) {
        throw DataError(cat(path.string(), " can't be used: ", error.what(), ". Correct the file."));
    } catch (const DataError& error) {
        if (std::string_view(error.what()).starts_with(path.string())) throw;
        throw DataError(cat(path.string(), " can't be used: ", error.what(), ". Correct the file."));
    }
}

/// A token written as a text or as {"content": ...}; nothing for null.
std::optional<AddedToken> token_of(const Json& entry, bool special) {
    if (entry.is_string()) return AddedToken{-1, entry.get<std::string>(), false, false, false, !special, special};
    if (!entry.is_object()) return std::nullopt;
    return AddedToken{-1,
                      entry.at("content").get<std::string>(),
                      entry.value("single_word", false),
                      entry.value("lstrip", false),
                      entry.value("rstrip", false),
                      entry.value("normalized", !special),
                      entry.value("special", special)};
}

/// Special tokens by name, and those without a name.
struct Specials {
    std::vector<std::pair<std::string, AddedToken>> named;
    std::vector<AddedToken> more;

    void set(const std::string& name, const AddedToken& token) {
        const auto old =
            std::find_if(named.begin(), named.end(), [&](const auto& entry) { return entry.first == name; });
        if (old != named.end())
            old->second = token;
        else
            named.emplace_back(name, token);
    }
};

/// From tokenizer_config.json or special_tokens_map.json.
void read_specials(const Json& config, Specials& specials) {
    for (const char* name : kNames)
        if (const auto entry = config.find(name); entry != config.end())
            if (const auto token = token_of(*entry, true)) specials.set(name, *token);
    for (const char* list : {"additional_special_tokens", "extra_special_tokens"}) {
        const auto entry = config.find(list);
        if (entry == config.end()) continue;
        if (entry->is_object())
            for (const auto& [name, value] : entry->items())
                if (const auto token = token_of(value, true)) specials.set(name, *token);
        if (entry->is_array())
            for (const Json& value : *entry)
                if (const auto token = token_of(value, true)) specials.more.push_back(*token);
    }
}

std::vector<AddedToken> read_decoder(const Json& decoder) {
    std::vector<AddedToken> tokens;
    for (const auto& [id, entry] : decoder.items()) {
        if (id.empty() || id.size() > 9 || id.find_first_not_of("0123456789") != std::string::npos)
            throw DataError(cat("added_tokens_decoder has the id \"", shortened(id, 20), "\""));
        auto token = token_of(entry, false);
        if (!token || entry.is_string()) throw DataError(cat("added_tokens_decoder has no token for ", id));
        token->normalized = entry.value("normalized", !token->special);
        token->id = std::stoi(id);
        tokens.push_back(std::move(*token));
    }
    return tokens;
}

std::vector<AddedToken> read_added(const Json& added, const Specials& specials) {
    std::vector<AddedToken> tokens;
    for (const auto& [content, id] : added.items()) {
        const auto same = [&text = content](const AddedToken& token) { return token.content == text; };
        const bool special = std::any_of(specials.named.begin(), specials.named.end(),
                                         [&](const auto& entry) { return same(entry.second); }) ||
                             std::any_of(specials.more.begin(), specials.more.end(), same);
        tokens.push_back({id.get<std::int32_t>(), content, false, false, false, !special, special});
    }
    return tokens;
}

std::string template_of(const Json& config) {
    const auto entry = config.find("chat_template");
    if (entry == config.end() || entry->is_null()) return "";
    if (entry->is_string()) return entry->get<std::string>();
    for (const Json& choice : *entry)
        if (choice.at("name") == "default") return choice.at("template").get<std::string>();
    return "";
}

}  // namespace

TokenizerFiles read_tokenizer_files(const fs::path& folder) {
    TokenizerFiles files;
    Specials specials;
    const fs::path config_file = folder / "tokenizer_config.json";
    const fs::path map_file = folder / "special_tokens_map.json";
    const fs::path added_file = folder / "added_tokens.json";
    const bool complete = with_file(config_file, [&] {
        const Json config = read_object(config_file);
        read_specials(config, specials);
        files.chat_template = template_of(config);
        files.template_origin = config_file;
        if (!config.contains("added_tokens_decoder")) return false;
        files.added = read_decoder(config.at("added_tokens_decoder"));
        return true;
    });
    if (!complete) {  // older folders keep their tokens in files of their own
        with_file(map_file, [&] { read_specials(read_object(map_file), specials); });
        with_file(added_file, [&] { files.added = read_added(read_object(added_file), specials); });
    }
    std::stable_sort(files.added.begin(), files.added.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    if (!complete)
        for (AddedToken& token : files.added) token.id = -1;
    const std::size_t with_ids = files.added.size();
    const auto rank = [](const auto& entry) { return std::find(std::begin(kNames), std::end(kNames), entry.first); };
    std::stable_sort(specials.named.begin(), specials.named.end(),
                     [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    for (const auto& [name, token] : specials.named) {
        files.tokens[name] = token.content;
        files.added.push_back(token);
    }
    files.added.insert(files.added.end(), specials.more.begin(), specials.more.end());
    for (std::size_t i = with_ids; i < files.added.size(); ++i) {
        files.added[i].special = true;
        files.added[i].only_named = true;
    }
    if (auto source = read_file_if_there(folder / "chat_template.jinja"); source && !source->empty()) {
        files.chat_template = std::move(*source);
        files.template_origin = folder / "chat_template.jinja";
    }
    return files;
}

}  // namespace tdrm::text
