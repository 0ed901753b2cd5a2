// Real tokenizers beside the project, where they are at hand.
#pragma once

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

namespace tdrm::text {

inline const std::filesystem::path kReal = std::filesystem::path(TDRM_SOURCE_DIR) / "../shared/data";

/// What a gzipped file holds.
inline std::string gunzip(const std::filesystem::path& path) {
    std::string text;
    FILE* pipe = popen(("gzip -dc '" + path.string() + "'").c_str(), "r");
    std::array<char, 1 << 16> buffer;
    for (std::size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), n);
    pclose(pipe);
    return text;
}

}  // namespace tdrm::text
