#include "tdrm/base/json_rows.hpp"

#include <zlib.h>

#include <array>
#include <memory>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/file_format.hpp"

namespace tdrm::rows {

std::string Place::text() const { return cat(file, " ", unit, " ", number); }

void broken(const Place& place, const std::string& problem) { throw BrokenRow(cat(place.text(), ": ", problem)); }

std::string read_text(const std::filesystem::path& path) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"),
                                                          gzclose);  // reads plain files too
    if (!file || std::filesystem::is_directory(path))
        throw IoError(cat("can't read ", path.string(), " (it holds the rows). Check the path."));
    std::string text;
    std::array<char, 1 << 16> buffer;
    int n = 0;
    while ((n = gzread(file.get(), buffer.data(), buffer.size())) > 0)
        text.append(buffer.data(), static_cast<std::size_t>(n));
    int error = Z_OK;
    gzerror(file.get(), &error);
    if (n < 0 || error == Z_BUF_ERROR)
        throw DataError(cat(
            path.string(), " is damaged: its compressed data end early or don't fit their check sum. Fetch it again."));
    return text;
}

void for_each_row(const std::filesystem::path& path, const std::function<void(const Json&, const Place&)>& row) {
    refuse_other_formats(path);
    const std::string text = read_text(path);
    Place place{path.filename().string()};
    const auto first = text.find_first_not_of(" \t\r\n");
    if (first != std::string::npos && text[first] == '[') {
        place.unit = "row";
        const Json all = Json::parse(text, nullptr, false);
        if (all.is_discarded())
            throw DataError(cat(path.string(), " isn't JSON (it begins like an array of rows). Fetch it again."));
        for (const Json& each : all) row(each, (++place.number, place));
        return;
    }
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = std::min(text.find('\n', begin), text.size());
        const auto line = std::string_view(text).substr(begin, end - begin);
        begin = end + 1;
        ++place.number;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        row(Json::parse(line, nullptr, false), place);
    }
}

const Json& member(const Json& row, const char* name, const Place& place) {
    if (!row.is_object()) broken(place, "this isn't a JSON object");
    const auto found = row.find(name);
    if (found == row.end()) broken(place, cat("the field \"", name, "\" is missing"));
    return *found;
}

std::string text_member(const Json& row, const char* name, const Place& place) {
    const Json& value = member(row, name, place);
    if (!value.is_string())
        broken(place, cat("the field \"", name, "\" isn't text", value.is_null() ? " (it is null or NaN)" : ""));
    return value.get<std::string>();
}

std::vector<std::string> texts_member(const Json& row, const char* name, const Place& place) {
    const Json& value = member(row, name, place);
    if (!value.is_array()) broken(place, cat("the field \"", name, "\" isn't a list of texts"));
    std::vector<std::string> texts;
    for (const Json& each : value) {
        if (!each.is_string()) broken(place, cat("the field \"", name, "\" isn't a list of texts"));
        texts.push_back(each.get<std::string>());
    }
    return texts;
}

std::string trimmed(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n\f\v";
    const auto first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos) return {};
    return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

}  // namespace tdrm::rows
