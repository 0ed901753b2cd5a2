// Options binding: an options struct describes itself once, in `fields`, and that gives parsing with range checks,
// help, the canonical dump with every default, and the text that is hashed for its identity.
//
//     struct SamplerOptions {
//         double temperature = 1;
//         std::optional<int> top_k;
//         Seconds every{60};
//         void fields(Fields& f) {
//             f("temperature", temperature, "softmax temperature; 0 = greedy", at_least(0));
//             f("top_k", top_k, "sample from this many tokens; none = all", at_least(1));
//             f("every", every, "time between commits").not_identity();
//         }
//         std::vector<std::string> validate() const;  // optional: sentences about fields that don't go together
//     };
//
// Types: bool, int, int64 (160k, 2M), double, std::string, Seconds, enums with `enum_names`, optional, vector (one
// value stands for a list of one), maps from names (std::map, or a vector of pairs that keeps the order), nested
// structs (with `kShorthand`, the name of a field, a lone value stands for a map with that field). An enum E is named
// by `constexpr std::array<std::pair<E, std::string_view>, N> enum_names(E)` in its own namespace.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tdrm/base/yaml.hpp"

namespace tdrm {

/// A duration, written 60s, 5m, 1.5h or 2d.
struct Seconds {
    double value = 0;
    friend bool operator==(Seconds, Seconds) = default;
};

/// 90s, 3h55m, 1d12h, 0.5h; a bare number, which is seconds; or as Slurm writes it: 55:00 (minutes), 12:00:00, 1-12,
/// 1-12:00:00. Nothing if it is none of these.
[[nodiscard]] std::optional<Seconds> read_duration(std::string_view text);

/// Allowed numbers, an interval. Also holds for each number in an optional, list or map.
struct Range {
    double low = -std::numeric_limits<double>::infinity();
    double high = std::numeric_limits<double>::infinity();
    bool low_open = false;   ///< `low` itself isn't allowed
    bool high_open = false;  ///< `high` itself isn't allowed

    [[nodiscard]] bool holds(double x) const;
    /// " >= 0", " in (0, 1]", or "" for all numbers.
    [[nodiscard]] std::string text() const;
};
[[nodiscard]] inline Range at_least(double low) { return {.low = low}; }
[[nodiscard]] inline Range above(double low) { return {.low = low, .low_open = true}; }
[[nodiscard]] inline Range at_most(double high) { return {.high = high}; }
[[nodiscard]] inline Range between(double low, double high) { return {.low = low, .high = high}; }
/// (low, high]
[[nodiscard]] inline Range above_up_to(double low, double high) { return {.low = low, .high = high, .low_open = true}; }
/// [low, high)
[[nodiscard]] inline Range from_to_below(double low, double high) {
    return {.low = low, .high = high, .high_open = true};
}

class Fields;

/// Where a value is read: its path and help for messages, and the list of problems.
struct Reading {
    std::string path;
    std::string help;
    Problems& problems;

    /// Notes `"x" isn't <type> (<help>). <suggestion>`.
    void mismatch(const Yaml& node, const std::string& type, const std::string& suggestion = "") const;
};

/// One option's value without its C++ type.
struct Codec {
    std::string type;                                       ///< for people: "a number in [0, 1]"
    std::function<void(const Yaml&, const Reading&)> read;  ///< leaves the value alone where there is a problem
    std::function<Yaml(bool identity)> write;               ///< identity: without the fields that aren't part of it
    std::shared_ptr<Fields> fields;                         ///< of a struct, or of the structs inside
    std::shared_ptr<void> sample;                           ///< keeps alive what `fields` refers to
};

/// One described member.
class Field {
public:
    Field(std::string_view name, std::string_view help, Codec codec)
        : name_(name), help_(help), codec_(std::move(codec)) {}

    /// Not part of the identity: paths, logging, commit and eval intervals.
    Field& not_identity() { return in_identity_ = false, *this; }
    /// The user must give it.
    Field& required() { return is_required_ = true, *this; }

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const std::string& help() const { return help_; }
    [[nodiscard]] const Codec& codec() const { return codec_; }
    [[nodiscard]] bool in_identity() const { return in_identity_; }
    [[nodiscard]] bool is_required() const { return is_required_; }

private:
    std::string name_, help_;
    Codec codec_;
    bool in_identity_ = true;
    bool is_required_ = false;
};

/// Collects the fields of one struct, in the order of the dump.
class Fields {
public:
    template <class T>
    Field& operator()(std::string_view name, T& value, std::string_view help, const Range& range = {});

    [[nodiscard]] const std::vector<Field>& all() const { return fields_; }
    [[nodiscard]] const Field* find(std::string_view name) const;
    [[nodiscard]] std::vector<std::string> names() const;
    /// Dotted keys of all options, those inside others behind them: all that `explain` knows.
    [[nodiscard]] std::vector<std::string> keys() const;
    /// Reads a map; unknown keys, missing required fields and bad values become problems. Null reads as an empty map.
    void read(const Yaml& node, const Reading& reading) const;
    [[nodiscard]] Yaml write(bool identity) const;
    /// Help on a dotted key, or on all fields if it is empty. @throws ConfigError with the nearest spelling.
    [[nodiscard]] std::string explain(std::string_view key) const;

private:
    std::vector<Field> fields_;
};

template <class T>
concept OptionsStruct = requires(T& options, Fields& f) {
    options.fields(f);
};

// ---- codecs, one per type ----

[[nodiscard]] Codec codec(bool& value, const Range& range);
[[nodiscard]] Codec codec(int& value, const Range& range);
[[nodiscard]] Codec codec(std::int64_t& value, const Range& range);
[[nodiscard]] Codec codec(double& value, const Range& range);
[[nodiscard]] Codec codec(std::string& value, const Range& range);
[[nodiscard]] Codec codec(Seconds& value, const Range& range);
/// A choice among names, by its index.
[[nodiscard]] Codec choice_codec(std::vector<std::string> names, std::function<std::size_t()> get,
                                 std::function<void(std::size_t)> set);
template <class E>
requires std::is_enum_v<E>
[[nodiscard]] Codec codec(E& value, const Range& range);
template <OptionsStruct T>
[[nodiscard]] Codec codec(T& value, const Range& range);
template <class T>
[[nodiscard]] Codec codec(std::optional<T>& value, const Range& range);
template <class T>
[[nodiscard]] Codec codec(std::vector<T>& value, const Range& range);
template <class T>
[[nodiscard]] Codec codec(std::vector<std::pair<std::string, T>>& value, const Range& range);
template <class T>
[[nodiscard]] Codec codec(std::map<std::string, T>& value, const Range& range);

// ---- the public functions ----

/// Reads options over their present values. @param path is put before the keys in messages, e.g. "stages.td".
template <OptionsStruct T>
void parse(const Yaml& node, T& options, Problems& problems, const std::string& path = "") {
    codec(options, {}).read(node, Reading{path, "", problems});
}

/// All options with their values; parses back to equal options.
template <OptionsStruct T>
[[nodiscard]] Yaml to_yaml(T options) {
    return codec(options, {}).write(false);
}

/// Canonical YAML text of `to_yaml`.
template <OptionsStruct T>
[[nodiscard]] std::string dump(const T& options) {
    return to_text(to_yaml(options));
}

/// Canonical text without the fields that are `not_identity`; independent of the order in the user's file.
template <OptionsStruct T>
[[nodiscard]] std::string identity(T options) {
    return to_text(codec(options, {}).write(true));
}

/// Whether all fields that are part of an identity are as a fresh T has them.
template <OptionsStruct T>
[[nodiscard]] bool untouched(const T& options) {
    return identity(options) == identity(T{});
}

/// Help on a dotted key ("target.lambda"), or on all fields for "". @throws ConfigError for an unknown key.
template <OptionsStruct T>
[[nodiscard]] std::string explain(T options, std::string_view key) {
    return codec(options, {}).fields->explain(key);
}

/// The keys that `explain` knows.
template <OptionsStruct T>
[[nodiscard]] std::vector<std::string> option_keys(T options) {
    return codec(options, {}).fields->keys();
}

// ---- implementation of the templates ----

template <class T>
Field& Fields::operator()(std::string_view name, T& value, std::string_view help, const Range& range) {
    return fields_.emplace_back(name, help, codec(value, range));
}

template <class E>
requires std::is_enum_v<E> Codec codec(E& value, const Range&) {
    static constexpr auto kNames = enum_names(E{});
    std::vector<std::string> names;
    for (const auto& entry : kNames) names.emplace_back(entry.second);
    const auto get = [&value] {
        std::size_t i = 0;
        while (i + 1 < kNames.size() && kNames[i].first != value) ++i;
        return i;
    };
    return choice_codec(std::move(names), get, [&value](std::size_t i) { value = kNames[i].first; });
}

template <OptionsStruct T>
Codec codec(T& value, const Range&) {
    auto fields = std::make_shared<Fields>();
    value.fields(*fields);
    const auto read = [&value, fields](const Yaml& node, const Reading& reading) {
        static_cast<void>(value);  // clang misses a use where nothing validates
        [[maybe_unused]] const std::size_t before = reading.problems.size();
        const Yaml* map = &node;
        [[maybe_unused]] Yaml whole = Yaml::map();
        if constexpr (requires { T::kShorthand; }) {
            if (node.is_scalar() && !node.is_null()) {
                whole.at(T::kShorthand) = node;
                map = &whole;
            }
        }
        fields->read(*map, reading);
        if constexpr (requires { value.validate(); }) {
            if (reading.problems.size() != before) return;
            for (const std::string& sentence : value.validate()) {
                reading.problems.push_back({node.where(), reading.path, sentence});
            }
        }
    };
    return {"a map", read, [fields](bool identity) { return fields->write(identity); }, fields, nullptr};
}

template <class T>
Codec codec(std::optional<T>& value, const Range& range) {
    auto sample = std::make_shared<T>();
    const Codec inner = codec(*sample, range);
    const auto read = [&value, range](const Yaml& node, const Reading& reading) {
        T inside = value.value_or(T{});
        if (!node.is_null()) codec(inside, range).read(node, reading);
        value = node.is_null() ? std::nullopt : std::optional<T>(std::move(inside));
    };
    const auto write = [&value, range](bool identity) { return value ? codec(*value, range).write(identity) : Yaml{}; };
    return {inner.type + " or null", read, write, inner.fields, sample};
}

template <class T>
Codec codec(std::vector<T>& value, const Range& range) {
    auto sample = std::make_shared<T>();
    const Codec inner = codec(*sample, range);
    const std::string type = "a list, each " + inner.type;
    const auto read = [&value, range, type](const Yaml& node, const Reading& reading) {
        if (node.is_null()) return reading.mismatch(node, type);
        const std::size_t size = node.is_list() ? node.items.size() : 1;
        std::vector<T> list(size);
        for (std::size_t i = 0; i < size; ++i) {
            const std::string path = node.is_list() ? reading.path + "[" + std::to_string(i) + "]" : reading.path;
            codec(list[i], range).read(node.is_list() ? node.items[i] : node, {path, reading.help, reading.problems});
        }
        value = std::move(list);
    };
    const auto write = [&value, range](bool identity) {
        Yaml list = Yaml::list();
        for (T& item : value) list.items.push_back(codec(item, range).write(identity));
        return list;
    };
    return {type, read, write, inner.fields, sample};
}

template <class T>
Codec codec(std::vector<std::pair<std::string, T>>& value, const Range& range) {
    auto sample = std::make_shared<T>();
    const Codec inner = codec(*sample, range);
    const std::string type = "a map, each name with " + inner.type;
    const auto read = [&value, range, type](const Yaml& node, const Reading& reading) {
        if (!node.is_map()) return reading.mismatch(node, type);
        std::vector<std::pair<std::string, T>> entries;
        for (const auto& [name, entry] : node.entries) {
            entries.emplace_back(name, T{});
            codec(entries.back().second, range)
                .read(entry, {reading.path + "." + name, reading.help, reading.problems});
        }
        value = std::move(entries);
    };
    const auto write = [&value, range](bool identity) {
        Yaml map = Yaml::map();
        for (auto& [name, entry] : value) map.at(name) = codec(entry, range).write(identity);
        return map;
    };
    return {type, read, write, inner.fields, sample};
}

template <class T>
Codec codec(std::map<std::string, T>& value, const Range& range) {
    using Entries = std::vector<std::pair<std::string, T>>;
    Entries none;
    Codec result = codec(none, range);
    result.read = [&value, range](const Yaml& node, const Reading& reading) {
        Entries entries(value.begin(), value.end());
        codec(entries, range).read(node, reading);
        value = {entries.begin(), entries.end()};
    };
    result.write = [&value, range](bool identity) {
        Entries entries(value.begin(), value.end());
        return codec(entries, range).write(identity);
    };
    return result;
}

}  // namespace tdrm
