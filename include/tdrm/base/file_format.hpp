// Files that can't be rows of JSON, told by their first bytes.
#pragma once

#include <filesystem>

namespace tdrm {

/// Returns for text, gzip and what can't be read. @throws DataError naming the format of a file that is Parquet, Arrow,
/// another archive or UTF-16, and what to do about it
void refuse_other_formats(const std::filesystem::path& path);

}  // namespace tdrm
