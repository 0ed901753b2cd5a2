#include "tdrm/base/options.hpp"

#include <algorithm>
#include <charconv>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm {
namespace {

/// The number that a whole text spells, if it does and is finite.
std::optional<double> read_number(std::string_view text) {
    double number = 0;
    if (!text.empty() && text[0] == '+') text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
    return number;
}

/// "160k", "2M", "1.5G", "1e6" and plain digits, exactly.
std::optional<std::int64_t> read_integer(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
    if (text.empty()) return std::nullopt;
    const char suffix = text.back();
    const double scale = suffix == 'k' ? 1e3 : suffix == 'M' ? 1e6 : suffix == 'G' ? 1e9 : 1;
    if (scale > 1) text.remove_suffix(1);
    const auto mantissa = read_number(text);
    if (!mantissa) return std::nullopt;
    const double product = std::round(*mantissa * scale);
    const bool whole = std::abs(*mantissa * scale - product) <= 1e-15 * std::abs(product);  // 0.3k is 300
    if (!whole || std::abs(product) > 9e15) return std::nullopt;                            // exact in a double
    return static_cast<std::int64_t>(product);
}

template <class Integer>
Codec integer_codec(Integer& value, Range range) {
    range.low = std::max(range.low, static_cast<double>(std::numeric_limits<Integer>::min()));
    range.high = std::min(range.high, static_cast<double>(std::numeric_limits<Integer>::max()));
    Range shown = range;  // the type's own limits aren't worth telling
    if (shown.low == static_cast<double>(std::numeric_limits<Integer>::min())) shown.low = -HUGE_VAL;
    if (shown.high == static_cast<double>(std::numeric_limits<Integer>::max())) shown.high = HUGE_VAL;
    const std::string type = "an integer" + shown.text();
    const auto read = [&value, range, type](const Yaml& node, const Reading& reading) {
        const auto number = node.is_scalar() ? read_integer(node.scalar) : std::nullopt;
        if (!number || !range.holds(static_cast<double>(*number))) return reading.mismatch(node, type);
        value = static_cast<Integer>(*number);
    };
    return {type, read, [&value](bool) { return Yaml::plain(std::to_string(value)); }, nullptr, nullptr};
}

constexpr std::array<std::pair<char, double>, 4> kUnits{{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}};

std::optional<double> read_seconds(std::string_view text) {
    if (text == "0") return 0;
    for (const auto& [unit, seconds] : kUnits) {
        if (text.empty() || text.back() != unit) continue;
        text.remove_suffix(1);
        const auto number = read_number(text);
        return number ? std::optional<double>(*number * seconds) : std::nullopt;
    }
    return std::nullopt;
}

std::string seconds_text(double value) {
    for (const auto& [unit, seconds] : kUnits) {
        if (value != 0 && std::fmod(value, seconds) == 0) return number_text(value / seconds) + unit;
    }
    return number_text(value) + "s";
}

/// "3h55m": numbers with a unit each, the longest first.
std::optional<double> read_units(std::string_view text) {
    double sum = 0;
    auto unit = kUnits.begin();
    while (!text.empty()) {
        const std::size_t digits = text.find_first_not_of("0123456789.");
        if (digits == std::string_view::npos) return std::nullopt;
        unit = std::find_if(unit, kUnits.end(), [&](const auto& each) { return each.first == text[digits]; });
        const auto number = read_number(text.substr(0, digits));
        if (unit == kUnits.end() || !number) return std::nullopt;
        sum += *number * unit++->second;
        text.remove_prefix(digits + 1);
    }
    return sum;
}

/// "1-12:00:00": days, hours, minutes, seconds; the last may be missing behind days, the first without.
std::optional<double> read_clock(std::string_view text) {
    const std::size_t dash = text.find('-');
    const bool has_days = dash != std::string_view::npos;
    std::vector<double> numbers;
    for (std::string_view rest = text; !rest.empty();) {
        const std::size_t end = std::min(rest.find_first_of(numbers.empty() && has_days ? "-" : ":"), rest.size());
        const std::string_view digits = rest.substr(0, end);
        const auto number = read_number(digits);
        if (!number || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
        numbers.push_back(*number);
        if (end + 1 == rest.size()) return std::nullopt;  // nothing behind the last mark
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (numbers.size() < 2 || numbers.size() > (has_days ? 4U : 3U)) return std::nullopt;
    double sum = 0;
    auto unit = kUnits.end() - static_cast<std::ptrdiff_t>(has_days ? kUnits.size() : numbers.size());
    for (const double number : numbers) sum += number * unit++->second;
    return sum;
}

std::string joined_path(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
}

}  // namespace

bool Range::holds(double x) const { return (low_open ? x > low : x >= low) && (high_open ? x < high : x <= high); }

std::string Range::text() const {
    const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
    if (has_low && has_high) {
        return cat(" in ", low_open ? "(" : "[", number_text(low), ", ", number_text(high), high_open ? ")" : "]");
    }
    if (has_low) return (low_open ? " > " : " >= ") + number_text(low);
    if (has_high) return (high_open ? " < " : " <= ") + number_text(high);
    return "";
}

void Reading::mismatch(const Yaml& node, const std::string& type, const std::string& suggestion) const {
    const std::string given = node.is_null()     ? "no value"
                              : node.is_scalar() ? "\"" + node.scalar + "\""
                              : node.is_list()   ? "a list"
                                                 : "a map";
    std::string message = given + " isn't " + type;
    if (!help.empty()) message += " (" + help + ")";
    message += suggestion.empty() ? "." : ". " + suggestion;
    problems.push_back({node.where(), path, message});
}

Codec codec(bool& value, const Range&) {
    const std::string type = "true or false";
    const auto read = [&value, type](const Yaml& node, const Reading& reading) {
        const bool yes = node.scalar == "true", no = node.scalar == "false";
        if (!node.is_scalar() || !(yes || no)) return reading.mismatch(node, type);
        value = yes;
    };
    return {type, read, [&value](bool) { return Yaml::plain(value ? "true" : "false"); }, nullptr, nullptr};
}

Codec codec(int& value, const Range& range) { return integer_codec(value, range); }
Codec codec(std::int64_t& value, const Range& range) { return integer_codec(value, range); }

Codec codec(double& value, const Range& range) {
    const std::string type = "a number" + range.text();
    const auto read = [&value, range, type](const Yaml& node, const Reading& reading) {
        const auto number = node.is_scalar() ? read_number(node.scalar) : std::nullopt;
        if (!number || !range.holds(*number)) return reading.mismatch(node, type);
        value = *number;
    };
    return {type, read, [&value](bool) { return Yaml::plain(number_text(value)); }, nullptr, nullptr};
}

Codec codec(std::string& value, const Range&) {
    const std::string type = "a text";
    const auto read = [&value, type](const Yaml& node, const Reading& reading) {
        if (!node.is_scalar()) return reading.mismatch(node, type);
        value = node.scalar;
    };
    return {type, read, [&value](bool) { return Yaml::text(value); }, nullptr, nullptr};
}

std::optional<Seconds> read_duration(std::string_view text) {
    if (text.empty()) return std::nullopt;
    std::optional<double> seconds;
    if (text.find_first_of(":-") != std::string_view::npos) {
        seconds = read_clock(text);
    } else if (text.find_first_not_of("0123456789.") == std::string_view::npos) {
        seconds = read_number(text);
    } else {
        seconds = read_units(text);
    }
    return seconds ? std::optional(Seconds{*seconds}) : std::nullopt;
}

Codec codec(Seconds& value, const Range& range) {
    constexpr double kLongest = 10'000 * 86400.0;  // clocks count nanoseconds in 64 bits
    const Range asked = std::isfinite(range.low) ? range : at_least(0);
    Range allowed = asked;
    allowed.high = std::min(asked.high, kLongest);
    const std::string type = "a duration such as 60s, 5m or 1h";
    const auto read = [&value, asked, allowed, type](const Yaml& node, const Reading& reading) {
        const auto seconds = node.is_scalar() ? read_seconds(node.scalar) : std::nullopt;
        if (!seconds) return reading.mismatch(node, type, "Give a number with a unit (s, m, h, d).");
        if (const Range& broken = asked.holds(*seconds) ? allowed : asked; !broken.holds(*seconds))
            return reading.mismatch(node, type, "Seconds must be" + broken.text() + ".");
        value.value = *seconds;
    };
    return {type, read, [&value](bool) { return Yaml::plain(seconds_text(value.value)); }, nullptr, nullptr};
}

Codec choice_codec(std::vector<std::string> names, std::function<std::size_t()> get,
                   std::function<void(std::size_t)> set) {
    const std::string type = "one of " + join(names);
    const auto read = [names, set = std::move(set), type](const Yaml& node, const Reading& reading) {
        const auto found = std::find(names.begin(), names.end(), node.scalar);
        if (node.is_scalar() && found != names.end()) return set(static_cast<std::size_t>(found - names.begin()));
        const std::string near = node.is_scalar() ? nearest(node.scalar, names) : "";
        reading.mismatch(node, type, near.empty() ? "" : cat("Did you mean \"", near, "\"?"));
    };
    const auto write = [names, get = std::move(get)](bool) { return Yaml::text(names.at(get())); };
    return {type, read, write, nullptr, nullptr};
}

const Field* Fields::find(std::string_view name) const {
    const auto found =
        std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.name() == name; });
    return found == fields_.end() ? nullptr : &*found;
}

std::vector<std::string> Fields::names() const {
    std::vector<std::string> result;
    for (const Field& field : fields_) result.push_back(field.name());
    return result;
}

std::vector<std::string> Fields::keys() const {
    std::vector<std::string> result;
    for (const Field& field : fields_) {
        result.push_back(field.name());
        if (!field.codec().fields) continue;
        for (const std::string& key : field.codec().fields->keys()) result.push_back(joined_path(field.name(), key));
    }
    return result;
}

void Fields::read(const Yaml& node, const Reading& reading) const {
    if (!node.is_map() && !node.is_null()) {
        return reading.mismatch(node, "a map", "Known keys are " + join(names()) + ".");
    }
    for (const auto& [name, value] : node.entries) {
        const std::string path = joined_path(reading.path, name);
        if (const Field* field = find(name)) {
            field->codec().read(value, {path, field->help(), reading.problems});
        } else {
            reading.problems.push_back({value.where(), path, "unknown key. " + did_you_mean(name, names())});
        }
    }
    for (const Field& field : fields_) {
        if (!field.is_required() || node.find(field.name())) continue;
        reading.problems.push_back({node.where(), joined_path(reading.path, field.name()),
                                    cat("missing (", field.help(), "). Give ", field.codec().type, ".")});
    }
}

Yaml Fields::write(bool identity) const {
    Yaml map = Yaml::map();
    for (const Field& field : fields_) {
        if (!identity || field.in_identity()) map.at(field.name()) = field.codec().write(identity);
    }
    return map;
}

std::string Fields::explain(std::string_view key) const {
    if (key.empty()) {
        std::string text;
        for (const Field& field : fields_) text += explain(field.name()).append("\n");
        return text;
    }
    const Fields* fields = this;
    const Field* field = nullptr;
    std::string path;
    for (const auto& name : split_path(key)) {
        field = fields ? fields->find(name) : nullptr;
        if (!field) {
            throw ConfigError(cat("there is no option \"", path, path.empty() ? "" : ".", name, "\". ",
                                  fields ? did_you_mean(name, fields->names()) : path + " has no options inside."));
        }
        path = joined_path(path, name);
        fields = field->codec().fields.get();
    }
    if (field == nullptr) throw BugError("a path has a name at least");
    const bool has_default = !field->is_required();
    std::string text = cat(path, ": ", field->codec().type, has_default ? "; default " : "; required",
                           has_default ? to_line(field->codec().write(false)) : "",
                           field->in_identity() ? "" : "; may change in a finished run", "\n    ", field->help());
    if (fields) text += "\n    keys: " + join(fields->names());
    return text;
}

}  // namespace tdrm
