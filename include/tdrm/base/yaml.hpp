// A YAML document as plain values that remember where they come from, and the list of problems with it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm {

/// One node. Maps keep the order of the file; keys are texts and unique.
struct Yaml {
    enum class Kind { null, scalar, list, map };
    struct Entry;

    Kind kind = Kind::null;
    std::string scalar;
    bool quoted = false;  ///< a scalar in quotes is a text, whatever it looks like
    std::vector<Yaml> items;
    std::vector<Entry> entries;
    std::string file;  ///< where it was read, for messages
    int line = 0;      ///< from 1; 0 if unknown. A map's value has the line of its key.

    /// A number, bool or other word that needs no quotes.
    [[nodiscard]] static Yaml plain(std::string text);
    /// A text, which is quoted where it could be read as something else.
    [[nodiscard]] static Yaml text(std::string text);
    [[nodiscard]] static Yaml list();
    [[nodiscard]] static Yaml map();
    [[nodiscard]] static Yaml of(Kind kind);

    [[nodiscard]] bool is_null() const { return kind == Kind::null; }
    [[nodiscard]] bool is_scalar() const { return kind == Kind::scalar; }
    [[nodiscard]] bool is_list() const { return kind == Kind::list; }
    [[nodiscard]] bool is_map() const { return kind == Kind::map; }

    /// The value of a key of a map, or null.
    [[nodiscard]] const Yaml* find(std::string_view key) const;
    [[nodiscard]] Yaml* find(std::string_view key);
    /// The value of a key, a new one at the end if there is none; turns a node that isn't a map into one.
    Yaml& at(std::string_view key);
    /// Removes a key and returns its value; null if there is none.
    Yaml take(std::string_view key);
    [[nodiscard]] std::vector<std::string> keys() const;

    /// The value at a dotted path ("target.lambda"), or null.
    [[nodiscard]] const Yaml* find_path(std::string_view dotted) const;
    /// Sets the value at a dotted path and makes the maps on the way.
    void set_path(std::string_view dotted, Yaml value);

    /// "configs/a.yaml:12", "--set" or "".
    [[nodiscard]] std::string where() const;
};

/// One key of a map.
struct Yaml::Entry {
    std::string key;
    Yaml value;
};

/// Reads one document. @throws ConfigError with file and line if it isn't YAML, holds a key twice, has keys that aren't
/// texts, or more than 100,000 nodes or 64 levels.
[[nodiscard]] Yaml parse_yaml(const std::string& text, const std::string& file);

/// @throws IoError if it is no regular file or can't be read; DataError above 1 MiB; ConfigError as parse_yaml.
[[nodiscard]] Yaml read_yaml(const std::string& path);

/// Canonical text: maps in block style in their order, lists in flow style, quotes only where needed. Reading it gives
/// an equal tree.
[[nodiscard]] std::string to_text(const Yaml& node);
/// The same on one line.
[[nodiscard]] std::string to_line(const Yaml& node);

/// Deep merge: maps entry by entry, everything else is replaced by `over`. The order is that of `base`, then new keys.
[[nodiscard]] Yaml merge(Yaml base, const Yaml& over);

/// Splits "a.b[c=0.8].d" at the dots outside of brackets.
[[nodiscard]] std::vector<std::string> split_path(std::string_view dotted);

/// Shortest text that reads back to the same number: 0.8, 1, 0.00001, 1e-9.
[[nodiscard]] std::string number_text(double value);
/// Numbers in their shortest form (0.80 -> 0.8, 1e-3 -> 0.001, 160k stays), all other words unchanged.
[[nodiscard]] std::string canonical_scalar(const std::string& text);

/// Something wrong with a configuration.
struct ConfigProblem {
    std::string where;    ///< "configs/a.yaml:12", or ""
    std::string path;     ///< "stages.td.target.lambda", or ""
    std::string message;  ///< problem (why it matters). Suggestion.
    bool absent = false;  ///< a file or folder isn't there yet: a run can't do without it, a plan can

    [[nodiscard]] std::string text() const;
};
using Problems = std::vector<ConfigProblem>;

/// @throws ConfigError that lists all problems, one a line and each once, if there are any. `what` names the thing:
/// "the run file".
void throw_if_any(const Problems& problems, std::string_view what);

}  // namespace tdrm
