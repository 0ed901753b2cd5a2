// What config.json says about a value head.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"

namespace tdrm::model {
namespace {

using nlohmann::json;

constexpr std::array kRight{"+", "right", "correct", "good", "positive", "true", "yes"};
constexpr std::array kWrong{"-", "wrong", "incorrect", "bad", "negative", "false", "no"};

/// Names of the labels in order, in lower case; empty if they aren't all there.
std::vector<std::string> label_names(const json& config, int labels) {
    const auto map = config.find("id2label");
    if (map == config.end() || !map->is_object() || map->size() != static_cast<std::size_t>(labels)) return {};
    std::vector<std::string> names;
    for (int l = 0; l < labels; ++l) {
        const auto name = map->find(std::to_string(l));
        if (name == map->end()) return {};
        std::string text = name->is_string() ? name->get<std::string>() : name->dump();
        std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
        names.push_back(std::move(text));
    }
    return names;
}

std::optional<double> probability(const std::string& text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0 && value <= 1)) return std::nullopt;
    return value;
}

bool is_one_of(const std::string& name, const auto& words) {
    return std::find(words.begin(), words.end(), name) != words.end();
}

std::vector<double> bins_of(const std::vector<std::string>& names, int labels) {
    std::vector<double> bins;
    for (const std::string& name : names)
        if (const auto value = probability(name)) bins.push_back(*value);
    // Bins that are all alike say nothing about a state.
    const bool numbers = bins.size() == static_cast<std::size_t>(labels) &&
                         std::any_of(bins.begin(), bins.end(), [&](double b) { return b != bins[0]; });
    if (numbers) return bins;
    if (labels != 2) return {};
    const bool turned = names.size() == 2 && is_one_of(names[0], kRight) && is_one_of(names[1], kWrong);
    return turned ? std::vector<double>{1, 0} : std::vector<double>{0, 1};
}

double number(const json& config, const char* key, const std::string& origin) {
    const auto value = config.find(key);
    if (value == config.end() || !value->is_number())
        throw DataError(cat(origin, ": normalize_reward is true, but ", key,
                            " is no number (rewards are (z - mean) / std). Correct it, or set normalize_reward to "
                            "false."));
    return value->get<double>();
}

}  // namespace

void read_head_config(const json& config, const std::string& origin, ValueHead& head) {
    if (head.labels > 1) {
        head.bins = bins_of(label_names(config, head.labels), head.labels);
        return;
    }
    const auto normalised = config.find("normalize_reward");
    if (normalised == config.end() || !normalised->is_boolean() || !normalised->get<bool>()) return;
    head.mean = number(config, "mean", origin);
    head.std = number(config, "std", origin);
    if (!(head.std > 0) || !std::isfinite(head.std) || !std::isfinite(head.mean))
        throw DataError(cat(origin, ": std ", head.std,
                            " isn't above 0 (rewards are divided by it). Correct it, or set normalize_reward to "
                            "false."));
}

}  // namespace tdrm::model
