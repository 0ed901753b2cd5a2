#include "tdrm/text/tokenizer.hpp"

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "added_tokens.hpp"
#include "bpe.hpp"
#include "decoder.hpp"
#include "pre_tokenizer.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"
#include "tokenizer_files.hpp"
#include "unicode.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;

constexpr std::int32_t kSequence = -1;  ///< stands for the text's ids in a template

json part_of(const json& config, const char* key) {
    const auto entry = config.find(key);
    return entry == config.end() ? json() : *entry;
}

/// Ids that the post-processor puts around a single text, kSequence where the text goes.
Ids read_template(const json& config, int depth = 0) {
    check_sequence_depth(depth);
    if (config.is_null()) return {kSequence};
    const auto type = config.at("type").get<std::string>();
    if (type == "ByteLevel") return {kSequence};
    if (type == "TemplateProcessing") {
        Ids result;
        for (const json& piece : config.at("single")) {
            if (piece.contains("Sequence")) {
                if (piece.at("Sequence").at("id") != "A")
                    throw_unsupported("template piece", "Sequence of another id than A");
                result.push_back(kSequence);
                continue;
            }
            const auto name = piece.at("SpecialToken").at("id").get<std::string>();
            for (const json& id : config.at("special_tokens").at(name).at("ids"))
                result.push_back(id.get<std::int32_t>());
        }
        return result;
    }
    if (type == "Sequence") {
        Ids result{kSequence};
        for (const json& step : config.at("processors")) {
            Ids next;
            for (const std::int32_t id : read_template(step, depth + 1)) {
                if (id == kSequence) {
                    next.insert(next.end(), result.begin(), result.end());
                } else {
                    next.push_back(id);
                }
            }
            if (next.size() > 4096)
                throw DataError("the post-processor adds thousands of tokens (no real one does). Fix tokenizer.json.");
            result = std::move(next);
        }
        return result;
    }
    throw_unsupported("post-processor", type);
}

constexpr std::uint64_t kMaxBytes = std::uint64_t{512} << 20;  // the largest published have some 40 MB

}  // namespace

struct Tokenizer::Impl {
    Impl(const json& config, const TokenizerFiles& files)
        : bpe(config.at("model")),
          added(assign_ids(read_added_tokens(part_of(config, "added_tokens")), files.added, bpe.vocabulary())),
          named(files.tokens),
          normalizer(make_normalizer(part_of(config, "normalizer"))),
          pre_tokenizer(make_pre_tokenizer(part_of(config, "pre_tokenizer"))),
          decoder(make_decoder(part_of(config, "decoder"))),
          around(read_template(part_of(config, "post_processor"))),
          raw_finder(tokens_to_find(false)),
          normalized_finder(tokens_to_find(true)) {
        const json decoder_config = part_of(config, "decoder");
        byte_level_decoder = decoder_config.is_object() && decoder_config.value("type", "") == "ByteLevel";
        fill_tokens();
        make_fingerprint(config);
    }

    /// Special tokens first: on equal contents the first one wins.
    std::vector<AddedToken> tokens_to_find(bool normalized) const {
        std::vector<AddedToken> found;
        for (const bool specials : {true, false}) {
            for (const AddedToken& token : added) {
                if (token.special != specials || token.normalized != normalized) continue;
                found.push_back(token);
                if (normalized) found.back().content = normalizer(token.content);
            }
        }
        return found;
    }

    void fill_tokens() {
        std::int32_t largest = -1;
        for (const auto& [token, id] : bpe.vocabulary()) largest = std::max(largest, id);
        for (const AddedToken& token : added) largest = std::max(largest, token.id);
        const auto size = static_cast<std::size_t>(largest + 1);
        if (size > 16 * (bpe.vocabulary().size() + added.size()) + 65536) {
            throw DataError(cat("the largest token id is ", largest, " for ", bpe.vocabulary().size() + added.size(),
                                " tokens (ids should be dense). Fix tokenizer.json."));
        }
        names.resize(size);
        bytes.resize(size);
        known_ids.resize(size);
        special.resize(size);
        for (const auto& [token, id] : bpe.vocabulary()) {
            const auto place = static_cast<std::size_t>(id);
            if (known_ids[place])
                throw DataError(cat("the vocabulary has two tokens with the id ", id,
                                    " (a model couldn't tell them). Fix tokenizer.json."));
            names[place] = token;
            known_ids[place] = true;
        }
        // A token that is looked for in normalized text is also written so (as tokenizers 0.23 does); it counts as
        // special only if that is the content of a special token.
        std::set<std::string> special_contents;
        for (const AddedToken& token : added) {
            if (token.special) special_contents.insert(token.content);
        }
        for (const AddedToken& token : added) {
            const auto id = static_cast<std::size_t>(token.id);
            names[id] = token.normalized ? normalizer(token.content) : token.content;
            known_ids[id] = true;
            special[id] = special_contents.contains(names[id]);
            added_ids.emplace(token.content, token.id);
        }
        for (std::size_t id = 0; id < size; ++id) bytes[id] = decoder.bytes(names[id]);
    }

    void make_fingerprint(const json& config) {
        Hasher hasher;
        bpe.hash_into(hasher);
        for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
            hasher.update(part_of(config, key).dump());
        }
        for (const AddedToken& token : added) {
            hasher.update(cat(token.id, ' ', token.content.size(), ' ', token.content, token.single_word, token.lstrip,
                              token.rstrip, token.normalized, token.special));
        }
        fingerprint = hasher.hex();
    }

    void encode_text(std::string_view text, bool at_start, Ids& ids) {
        const std::string normalized = normalizer(std::string(text));
        for (const TextPart& part : normalized_finder.split(normalized)) {
            if (part.id >= 0) {
                ids.push_back(part.id);
            } else {
                Words words{std::string(part.text), {{0, part.text.size()}}, at_start};
                pre_tokenizer(words);
                for (const Words::Span& span : words.spans) bpe.encode(words.word(span), ids);
            }
            at_start = false;
        }
    }

    [[nodiscard]] bool knows(std::int32_t id) const {
        return id >= 0 && static_cast<std::size_t>(id) < known_ids.size() && known_ids[static_cast<std::size_t>(id)];
    }

    Bpe bpe;
    std::vector<AddedToken> added;
    NamedTokens named;
    Normalizer normalizer;
    PreTokenizer pre_tokenizer;
    Decoder decoder;
    Ids around;
    AddedTokenFinder raw_finder, normalized_finder;
    bool byte_level_decoder = false;
    std::vector<std::string> names;  ///< by id, as written in the file
    std::vector<std::string> bytes;  ///< by id, see bytes_of
    std::vector<bool> known_ids;
    std::vector<bool> special;
    StringMap<std::int32_t> added_ids;
    std::string fingerprint;
    std::mutex mutex;  ///< guards what encoding changes: the word cache and the regular expressions' match data
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
    const bool folder = std::filesystem::is_directory(path);
    const auto file = folder ? path / "tokenizer.json" : path;
    return make(read_file(file, "the tokenizer is needed", kMaxBytes), file.string(),
                folder ? read_tokenizer_files(path) : TokenizerFiles{});
}

Tokenizer Tokenizer::parse(std::string_view text, std::string_view origin) { return make(text, origin, {}); }

Tokenizer Tokenizer::make(std::string_view text, std::string_view origin, const TokenizerFiles& files) {
    const json config = parse_json(text, origin);
    try {
        return Tokenizer(std::make_unique<Impl>(config, files));
    } catch (const json::exception& error) {
        throw DataError(cat(origin, " isn't a usable tokenizer.json: ", error.what(), ". Fetch the file again."));
    } catch (const DataError& error) {
        throw DataError(cat(origin, ": ", error.what()));
    }
}

Ids Tokenizer::encode(std::string_view text, bool add_special) const {
    if (const auto at = find_invalid_utf8(text)) {
        throw DataError(
            cat("the text isn't valid UTF-8 at byte ", *at, " (it has no token ids). Convert it to UTF-8."));
    }
    const std::lock_guard lock(impl_->mutex);
    Ids ids;
    ids.reserve(text.size() / 3 + 8);
    bool at_start = true;
    for (const TextPart& part : impl_->raw_finder.split(text)) {
        if (part.id >= 0) {
            ids.push_back(part.id);
        } else {
            impl_->encode_text(part.text, at_start, ids);
        }
        at_start = false;
    }
    if (!add_special || impl_->around == Ids{kSequence}) return ids;
    Ids result;
    for (const std::int32_t id : impl_->around) {
        if (id == kSequence) {
            result.insert(result.end(), ids.begin(), ids.end());
        } else {
            result.push_back(id);
        }
    }
    return result;
}

Ids Tokenizer::encode_behind(std::string_view text) const {
    const Ids before = encode("\n");
    const Ids all = encode(cat("\n", text));
    const auto n = static_cast<std::ptrdiff_t>(before.size());
    if (all.size() < before.size() || !std::equal(before.begin(), before.end(), all.begin())) return encode(text);
    return {all.begin() + n, all.end()};
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
    const auto wanted = [&](std::int32_t id) { return impl_->knows(id) && !(skip_special && is_special(id)); };
    if (impl_->byte_level_decoder) {
        std::string bytes;
        for (const std::int32_t id : ids) {
            if (wanted(id)) bytes += impl_->bytes[static_cast<std::size_t>(id)];
        }
        return to_valid_utf8(bytes);
    }
    std::vector<std::string> tokens;
    for (const std::int32_t id : ids) {
        if (wanted(id)) tokens.push_back(impl_->names[static_cast<std::size_t>(id)]);
    }
    const std::lock_guard lock(impl_->mutex);
    std::string text;
    for (const std::string& token : impl_->decoder.decode(std::move(tokens))) text += token;
    return text;
}

std::string Tokenizer::decode_behind(std::span<const std::int32_t> ids) const {
    std::string bytes;
    for (const std::int32_t id : ids)
        if (!is_special(id)) bytes += bytes_of(id);
    return to_valid_utf8(bytes);
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
    const auto entry = impl_->added_ids.find(token);
    return entry != impl_->added_ids.end() ? std::optional(entry->second) : impl_->bpe.id_of(token);
}

std::string_view Tokenizer::bytes_of(std::int32_t id) const {
    return impl_->knows(id) ? std::string_view(impl_->bytes[static_cast<std::size_t>(id)]) : std::string_view();
}

bool Tokenizer::is_given(std::int32_t id) const {
    return impl_->knows(id) && std::none_of(impl_->added.begin(), impl_->added.end(), [&](const AddedToken& token) {
               return token.id == id && token.only_named;
           });
}

std::string Tokenizer::named_token(std::string_view name) const {
    const auto found = impl_->named.find(std::string(name));
    return found == impl_->named.end() ? "" : found->second;
}

bool Tokenizer::is_special(std::int32_t id) const {
    return impl_->knows(id) && impl_->special[static_cast<std::size_t>(id)];
}

std::int32_t Tokenizer::vocab_size() const { return static_cast<std::int32_t>(impl_->names.size()); }
const std::string& Tokenizer::fingerprint() const { return impl_->fingerprint; }

}  // namespace tdrm::text
