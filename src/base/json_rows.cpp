#include "tdrm/base/json_rows.hpp"

#include <unistd.h>
#include <zlib.h>

#include <array>
#include <memory>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/file_format.hpp"
#include "tdrm/base/json.hpp"

namespace tdrm::rows {

std::string Place::text() const { return cat(file, " ", unit, " ", number); }

void broken(const Place& place, const std::string& problem) { throw BrokenRow(cat(place.text(), ": ", problem)); }

namespace {

constexpr std::size_t kMaxLine = std::size_t{1} << 28;   // a row is a problem or a solution, not a file
constexpr std::size_t kMaxArray = std::size_t{1} << 30;  // an array is in memory as a whole

/// A regular file, decompressed if it is gzipped.
class Unzipped {
public:
    explicit Unzipped(const std::filesystem::path& path)
        : plain_(path, "it holds the rows"), file_(gzdopen(::dup(plain_.id()), "rb"), gzclose) {
        if (!file_) throw IoError(cat("can't read ", path.string(), " (it holds the rows). Check the path."));
    }

    /// Bytes into the buffer; none at the end.
    std::string_view more() {
        const int n = gzread(file_.get(), buffer_.data(), static_cast<unsigned>(buffer_.size()));
        int error = Z_OK;
        gzerror(file_.get(), &error);
        if (n < 0 || error == Z_BUF_ERROR)
            throw DataError(cat(plain_.path().string(),
                                " is damaged: its compressed data end early or don't fit their check sum. Fetch it "
                                "again."));
        return {buffer_.data(), static_cast<std::size_t>(n)};
    }

private:
    RegularFile plain_;
    std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;  // reads plain files too
    std::array<char, 1 << 16> buffer_;
};

std::string_view without_mark(std::string_view text) {
    return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
}

/// Whether the first character of the file opens an array.
bool is_array(const std::filesystem::path& path) {
    Unzipped file(path);
    std::string_view text = file.more();
    refuse_lfs_pointer(path, text);
    for (text = without_mark(text); !text.empty(); text = file.more())
        if (const auto first = text.find_first_not_of(" \t\r\n"); first != std::string_view::npos)
            return text[first] == '[';
    return false;
}

}  // namespace

void for_each_line(const std::filesystem::path& path,
                   const std::function<void(std::string_view line, bool whole)>& take) {
    Unzipped file(path);
    std::string line;
    for (std::string_view text = without_mark(file.more()); !text.empty(); text = file.more()) {
        for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
            line += text.substr(0, end);
            text.remove_prefix(end + 1);
            take(line, true);
            line.clear();
        }
        line += text;
        if (line.size() > kMaxLine)
            throw DataError(cat(path.string(), " has a line of more than ", kMaxLine,
                                " bytes (one row stands there). Is it the right file?"));
    }
    if (!line.empty()) take(line, false);
}

std::string read_text(const std::filesystem::path& path) {
    Unzipped file(path);
    std::string text;
    for (std::string_view more = file.more(); !more.empty(); more = file.more()) {
        text += more;
        if (text.size() > kMaxArray)
            throw DataError(cat(path.string(), " has more than ", kMaxArray,
                                " bytes (an array is read as a whole). Write it as JSON lines."));
    }
    return text;
}

void for_each_row(const std::filesystem::path& path, const std::function<void(const Json&, const Place&)>& row) {
    refuse_other_formats(path);
    Place place{path.filename().string()};
    if (is_array(path)) {
        place.unit = "row";
        for (const Json& each : parse_json(read_text(path), path.string())) row(each, (++place.number, place));
        return;
    }
    for_each_line(path, [&](std::string_view line, bool) {
        ++place.number;
        if (line.find_first_not_of(" \t\r") != std::string_view::npos) row(parse_json_or_discard(line), place);
    });
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
