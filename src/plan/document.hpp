// The run file with what it includes, and the settings of the command line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tdrm/base/yaml.hpp"

namespace tdrm::plan {

/// One "--set a.b=value".
struct Setting {
    std::vector<std::string> path;
    Yaml value;
    std::string text;

    /// For an expanded stage (stages.td[seed=1].rate): its pattern; "" for all others.
    [[nodiscard]] std::string expanded_stage() const;
    /// Path from component `from` on.
    [[nodiscard]] std::string key(std::size_t from) const;
};

/// Reads a file and, before it, its includes. Files that can't be read and circles become problems.
[[nodiscard]] Yaml read_document(const std::string& file, Problems& problems);
/// Replaces the `include` of a document by what it names, relative to a folder.
[[nodiscard]] Yaml with_includes(Yaml document, const std::string& folder, Problems& problems);

[[nodiscard]] std::vector<Setting> parse_settings(const std::vector<std::string>& texts, Problems& problems);
/// Writes the settings into the document, except those of expanded stages.
void apply_settings(Yaml& document, const std::vector<Setting>& settings, Problems& problems);

}  // namespace tdrm::plan
