#include "tdrm/store/sealed.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::store {
namespace {

using nlohmann::json;

/// The bytes of a regular file, "" if it can't be read.
std::string bytes_of(const std::filesystem::path& path) {
    try {
        return read_file(path);
    } catch (const Error&) {
        return {};
    }
}

std::string sealed(json content) {
    content["hash"] = hash_hex(content.dump());
    return content.dump(1) + "\n";
}

std::string sealed(const std::string& text) { return "# hash: " + hash_hex(text) + "\n" + text; }

}  // namespace

void write_sealed(const std::filesystem::path& path, json content) {
    write_text_atomic(path, sealed(std::move(content)));
}

std::optional<json> read_sealed(const std::filesystem::path& path) {
    const std::string text = bytes_of(path);
    json content = parse_json_or_discard(text);
    if (!content.is_object()) return std::nullopt;
    content.erase("hash");
    // Sealed again it must be the same text: a hash of the values alone would miss what doesn't change them.
    try {
        return sealed(content) == text ? std::optional(content) : std::nullopt;
    } catch (const json::exception&) {  // bytes that aren't UTF-8
        return std::nullopt;
    }
}

void write_sealed_text(const std::filesystem::path& path, const std::string& text) {
    write_text_atomic(path, sealed(text));
}

std::optional<std::string> read_sealed_text(const std::filesystem::path& path) {
    const std::string text = bytes_of(path);
    const std::size_t line = text.find('\n');
    if (line == std::string::npos) return std::nullopt;
    const std::string content = text.substr(line + 1);
    return sealed(content) == text ? std::optional(content) : std::nullopt;
}

}  // namespace tdrm::store
