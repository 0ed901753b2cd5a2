#include "tdrm/base/file_format.hpp"

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"

namespace tdrm {
namespace {

using namespace std::string_view_literals;

struct Format {
    std::string_view begin, name;
    const char* advice;  ///< what turns it into rows
};
constexpr const char* kParquet = "Turn it into JSON lines by tools/parquet_to_jsonl.py FILE.parquet FILE.jsonl.";
constexpr const char* kUnpack = "Unpack it, or pack it with gzip.";
constexpr const char* kConvert = "Convert it to UTF-8.";
constexpr std::array kFormats{Format{"PAR1"sv, "a Parquet file", kParquet},
                              Format{"ARROW1"sv, "an Arrow file", kParquet},
                              Format{"\x28\xB5\x2F\xFD"sv, "packed with zstd", kUnpack},
                              Format{"\xFD"
                                     "7zXZ\0"sv,
                                     "packed with xz", kUnpack},
                              Format{"BZh"sv, "packed with bzip2", kUnpack},
                              Format{"PK\x03\x04"sv, "a zip archive", kUnpack},
                              Format{"\xFF\xFE"sv, "a text in UTF-16", kConvert},
                              Format{"\xFE\xFF"sv, "a text in UTF-16", kConvert}};

}  // namespace

void refuse_other_formats(const std::filesystem::path& path) {
    std::error_code unreadable;
    if (!std::filesystem::is_regular_file(path, unreadable)) return;
    std::array<char, 8> bytes{};
    const std::size_t count = RegularFile(path).read_at(0, std::as_writable_bytes(std::span(bytes)));
    const std::string_view begin(bytes.data(), count);
    for (const Format& format : kFormats)
        if (begin.starts_with(format.begin))
            throw DataError(cat(path.string(), " is ", format.name, " (rows are read from JSON, plain or gzipped). ",
                                format.advice));
}

}  // namespace tdrm
