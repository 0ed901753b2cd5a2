#include "tdrm/base/yaml.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"

namespace tdrm {
namespace {

constexpr int kMaxNodes = 100'000;  // aliases of aliases can stand for any number of nodes
constexpr int kMaxDepth = 64;
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 20;

/// Looks at a text before the library builds nodes of it, which it does without bound: for a "}" that closes nothing,
/// say, it finds documents for ever.
class Survey : public YAML::EventHandler {
public:
    explicit Survey(const std::string& text) {
        std::istringstream stream(text);
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(*this)) {
        }
    }
    [[nodiscard]] int documents() const { return documents_; }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (documents_++ > 0 && mark.pos <= position_) throw YAML::ParserException(mark, "something closes nothing");
        position_ = mark.pos;
    }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { count(mark); }
    void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t, const std::string&) override {
        count(mark);
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                         YAML::EmitterStyle::value) override {
        count(mark);
    }
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
        count(mark);
    }
    void OnMapEnd() override {}

private:
    void count(const YAML::Mark& mark) {
        if (++events_ > 2 * kMaxNodes) throw YAML::ParserException(mark, cat("more than ", kMaxNodes, " nodes"));
    }

    int documents_ = 0, position_ = 0, events_ = 0;
};

class Converter {
public:
    explicit Converter(const std::string& file) : file_(file) {}

    Yaml convert(const YAML::Node& node, int depth = 0) {
        if (++nodes_ > kMaxNodes || depth > kMaxDepth) {
            fail(node, cat("the document is too large (more than ", kMaxNodes, " nodes or ", kMaxDepth,
                           " levels). Look for aliases that repeat each other."));
        }
        Yaml result;
        result.file = file_;
        result.line = node.Mark().line + 1;
        if (node.IsScalar()) {
            result.kind = Yaml::Kind::scalar;
            result.scalar = node.Scalar();
            result.quoted = node.Tag() == "!";
        } else if (node.IsSequence()) {
            result.kind = Yaml::Kind::list;
            for (const auto& item : node) result.items.push_back(convert(item, depth + 1));
        } else if (node.IsMap()) {
            result.kind = Yaml::Kind::map;
            std::unordered_set<std::string> seen;
            for (const auto& entry : node) add_entry(result, seen, entry.first, entry.second, depth);
        }
        return result;
    }

private:
    void add_entry(Yaml& map, std::unordered_set<std::string>& seen, const YAML::Node& key, const YAML::Node& value,
                   int depth) {
        if (!key.IsScalar()) fail(key, "a key isn't a word (keys are option or stage names).");
        if (!seen.insert(key.Scalar()).second) {
            fail(key, cat("the key \"", key.Scalar(), "\" is there twice (one of them would be lost). Remove one."));
        }
        Yaml converted = convert(value, depth + 1);
        converted.line = key.Mark().line + 1;
        map.entries.push_back({key.Scalar(), std::move(converted)});
    }

    [[noreturn]] void fail(const YAML::Node& node, const std::string& message) const {
        throw ConfigError(cat(file_, ":", node.Mark().line + 1, ": ", message));
    }

    const std::string& file_;
    int nodes_ = 0;
};

}  // namespace

Yaml Yaml::of(Kind kind) {
    Yaml node;
    node.kind = kind;
    return node;
}

Yaml Yaml::list() { return of(Kind::list); }

Yaml Yaml::map() { return of(Kind::map); }

Yaml Yaml::plain(std::string text) {
    Yaml node = of(Kind::scalar);
    node.scalar = std::move(text);
    return node;
}

Yaml Yaml::text(std::string text) {
    Yaml node = plain(std::move(text));
    node.quoted = true;
    return node;
}

const Yaml* Yaml::find(std::string_view key) const {
    for (const auto& [name, value] : entries) {
        if (name == key) return &value;
    }
    return nullptr;
}

Yaml* Yaml::find(std::string_view key) { return const_cast<Yaml*>(std::as_const(*this).find(key)); }

Yaml& Yaml::at(std::string_view key) {
    if (!is_map()) {
        kind = Kind::map;
        scalar.clear();
        items.clear();
    }
    if (Yaml* value = find(key)) return *value;
    return entries.emplace_back(Entry{std::string(key), Yaml()}).value;
}

Yaml Yaml::take(std::string_view key) {
    const auto found =
        std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.key == key; });
    if (found == entries.end()) return {};
    Yaml value = std::move(found->value);
    entries.erase(found);
    return value;
}

std::vector<std::string> Yaml::keys() const {
    std::vector<std::string> names;
    for (const auto& entry : entries) names.push_back(entry.key);
    return names;
}

const Yaml* Yaml::find_path(std::string_view dotted) const {
    const Yaml* node = this;
    for (const auto& key : split_path(dotted)) {
        if (node) node = node->find(key);
    }
    return node;
}

void Yaml::set_path(std::string_view dotted, Yaml value) {
    Yaml* node = this;
    for (const auto& key : split_path(dotted)) {
        node = &node->at(key);
        if (node->file.empty()) {
            node->file = value.file;
            node->line = value.line;
        }
    }
    *node = std::move(value);
}

std::string Yaml::where() const { return line > 0 ? cat(file, ":", line) : file; }

Yaml parse_yaml(const std::string& text, const std::string& file) {
    try {
        const int documents = Survey(text).documents();
        if (documents > 1)
            throw ConfigError(cat(file, ": there are ", documents, " documents (only one is read). Remove \"---\"."));
        return documents == 0 ? Yaml{} : Converter(file).convert(YAML::Load(text));
    } catch (const YAML::Exception& error) {
        throw ConfigError(cat(file, ":", error.mark.line + 1, ": broken YAML (", error.msg, ")."));
    }
}

Yaml read_yaml(const std::string& path) { return parse_yaml(read_file(path, "", kMaxBytes), path); }

Yaml merge(Yaml base, const Yaml& over) {
    if (!base.is_map() || !over.is_map()) return over;
    std::unordered_map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < base.entries.size(); ++i) places.emplace(base.entries[i].key, i);
    for (const auto& [key, value] : over.entries) {
        const auto [place, is_new] = places.emplace(key, base.entries.size());
        if (is_new) {
            base.entries.push_back({key, value});
        } else {
            Yaml& target = base.entries[place->second].value;
            target = merge(std::move(target), value);
        }
    }
    return base;
}

std::vector<std::string> split_path(std::string_view dotted) {
    std::vector<std::string> parts(1);
    int depth = 0;
    for (const char c : dotted) {
        depth += c == '[' ? 1 : c == ']' ? -1 : 0;
        if (c == '.' && depth == 0) {
            parts.emplace_back();
        } else {
            parts.back() += c;
        }
    }
    return parts;
}

std::string ConfigProblem::text() const {
    std::string prefix = where.empty() ? "" : where + ": ";
    if (!path.empty()) prefix += path + ": ";
    std::string all = prefix + message;
    std::erase(all, '\0');  // exceptions would end their text there
    return all;
}

void throw_if_any(const Problems& problems, std::string_view what) {
    std::vector<std::string> lines;
    for (const auto& problem : problems) {
        const std::string line = "\n  " + problem.text();
        if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
    }
    if (lines.empty()) return;
    std::string text = cat(what, " has ", lines.size(), lines.size() == 1 ? " problem:" : " problems:");
    for (const auto& line : lines) text += line;
    throw ConfigError(text);
}

}  // namespace tdrm
