// What a chat template computes with: Python's values as far as templates meet them, and the budget that bounds all
// work. Values don't change once made (the sandbox of transformers forbids it), so they are shared, not copied; only
// namespaces change. No value is nested deeper than kMostValueDepth, so recursion over values is bounded.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tdrm::text::jinja {

using Json = nlohmann::ordered_json;  ///< maps keep the order in which they are written, as Python's do

constexpr int kMostValueDepth = 200;

/// What one rendering may do, everything counted: nodes, expressions, texts and lists made or looked through.
class Budget {
public:
    /// @throws DataError when it is used up
    void step(std::int64_t steps = 1) {
        if ((steps_ += steps) > kMostSteps) exhausted();
    }
    /// Before `bytes` of new text or list are made.
    void make(std::size_t bytes) {
        if (bytes > kMostBytes || (bytes_ += bytes) > kMostBytes) exhausted();
        scan(bytes);
    }
    /// Before `bytes` are looked through at the speed of memory.
    void scan(std::size_t bytes) { step(static_cast<std::int64_t>(bytes / 64)); }
    /// Before they are looked at one character after the other.
    void walk(std::size_t bytes) { step(static_cast<std::int64_t>(bytes / 8)); }

private:
    static constexpr std::int64_t kMostSteps = 4'000'000;
    static constexpr std::size_t kMostBytes = 128 << 20;
    [[noreturn]] static void exhausted();
    std::int64_t steps_ = 0;
    std::size_t bytes_ = 0;
};

class Value;
struct List;
struct Dict;
struct Object;
struct Namespace;

struct Undefined {};
struct None {};
struct Text {
    std::string text;
    bool markup;  ///< made by `safe` or `escape`: "+" escapes what is added to it
};

class Value {
public:
    using Data =
        std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const Text>,
                     std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Object>, Namespace*>;

    Value() = default;  ///< undefined
    Value(None) : data_(None{}) {}
    Value(bool value) : data_(value) {}
    Value(std::int64_t value) : data_(value) {}
    Value(double value) : data_(value) {}
    Value(std::string text, bool markup = false) : data_(std::make_shared<const Text>(Text{std::move(text), markup})) {}
    Value(std::string_view text) : Value(std::string(text)) {}
    Value(const char* text) : Value(std::string(text)) {}
    Value(std::shared_ptr<const List> list) : data_(std::move(list)) {}
    Value(std::shared_ptr<const Dict> dict) : data_(std::move(dict)) {}
    Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}
    Value(Namespace* space) : data_(space) {}

    template <class T>
    [[nodiscard]] bool is() const {
        return std::holds_alternative<T>(data_);
    }
    [[nodiscard]] bool is_undefined() const { return is<Undefined>(); }
    [[nodiscard]] bool is_none() const { return is<None>(); }
    [[nodiscard]] bool is_bool() const { return is<bool>(); }
    [[nodiscard]] bool is_int() const { return is<std::int64_t>() || is_bool(); }  ///< as in Python, a bool is one
    [[nodiscard]] bool is_real() const { return is<double>(); }
    [[nodiscard]] bool is_number() const { return is_int() || is_real(); }
    [[nodiscard]] bool is_text() const { return is<std::shared_ptr<const Text>>(); }

    /// Of an int or a bool.
    [[nodiscard]] std::int64_t as_int() const;
    /// Of a number.
    [[nodiscard]] double as_real() const;
    [[nodiscard]] const std::string& text() const { return std::get<std::shared_ptr<const Text>>(data_)->text; }
    [[nodiscard]] bool is_markup() const {
        const auto* text = std::get_if<std::shared_ptr<const Text>>(&data_);
        return text != nullptr && (*text)->markup;
    }
    /// Null if it is something else.
    [[nodiscard]] const List* list() const;
    [[nodiscard]] const Dict* dict() const;
    [[nodiscard]] Object* object() const;
    [[nodiscard]] Namespace* space() const;
    [[nodiscard]] const Data& data() const { return data_; }
    [[nodiscard]] int depth() const;

private:
    Data data_;
};

using Values = std::vector<Value>;
using Entries = std::vector<std::pair<Value, Value>>;

/// Python's sequences that aren't texts.
struct List {
    enum class Kind { list, tuple, range, keys, values, items };
    Kind kind;
    Values items;
    int depth;
    std::int64_t begin = 0, end = 0, step = 1;  ///< of a range
};

struct Dict {
    Entries entries;  ///< in order of insertion
    int depth;
    [[nodiscard]] const Value* find(std::string_view key) const;
    [[nodiscard]] const Value* find(const Value& key, Budget& budget) const;
};

/// Whatever else can be named: functions, the variable `loop`, iterators.
struct Object {
    enum class Kind { function, method, macro, loop, cycler, joiner, iterator };
    Object(Kind what, int how_deep) : kind(what), depth(how_deep) {}
    virtual ~Object() = default;
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;
    /// repr(), "" if it would hold an address.
    [[nodiscard]] virtual std::string repr() const { return ""; }
    Kind kind;
    int depth;
};

/// A generator: can be gone through once.
struct Iterator : Object {
    explicit Iterator(Values list, int how_deep) : Object(Kind::iterator, how_deep), items(std::move(list)) {}
    Values items;
    std::size_t at = 0;
};

struct Function : Object {
    explicit Function(std::string what) : Object(Kind::function, 1), name(std::move(what)) {}
    std::string name;
};

struct Method : Object {
    Method(Value of, std::string what)
        : Object(Kind::method, of.depth() + 1), object(std::move(of)), name(std::move(what)) {}
    Value object;
    std::string name;
};

/// namespace(...): lives as long as the rendering, since it may hold itself.
struct Namespace {
    Entries entries;
    [[nodiscard]] Value* find(std::string_view key);
};

/// Arguments of a call.
struct Arguments {
    Values positional;
    std::vector<std::pair<std::string, Value>> named;
};

/// Arguments by parameter, undefined where none is given. @throws DataError for more than there are parameters, for an
/// unknown name, and if one of the first `required` is missing.
class Bound {
public:
    Bound(const Arguments& arguments, std::string_view function, std::vector<std::string_view> parameters,
          std::size_t required = 0);
    [[nodiscard]] bool has(std::size_t i) const { return given_[i] != nullptr; }
    [[nodiscard]] const Value& operator[](std::size_t i) const;
    /// Of the type that is named. @throws DataError if it is of another
    [[nodiscard]] const std::string& text(std::size_t i) const;
    [[nodiscard]] std::int64_t integer(std::size_t i, std::int64_t otherwise) const;
    [[nodiscard]] bool truth(std::size_t i, bool otherwise) const;

private:
    std::string_view function_;
    std::vector<std::string_view> parameters_;
    std::vector<const Value*> given_;
};

/// @throws DataError: something that this program doesn't render, or that Jinja refuses, too
[[noreturn]] void fail(const std::string& what);
[[noreturn]] void refuse(const std::string& what);

[[nodiscard]] Value make_text(std::string text, Budget& budget, bool markup = false);
[[nodiscard]] Value make_list(Values items, Budget& budget, List::Kind kind = List::Kind::list);
[[nodiscard]] Value make_dict(Entries entries, Budget& budget);
[[nodiscard]] Value make_iterator(Values items, Budget& budget);
[[nodiscard]] Value from_json(const Json& json, Budget& budget, int depth = 0);

[[nodiscard]] bool is_true(const Value& value);
[[nodiscard]] bool equal(const Value& a, const Value& b, Budget& budget);
/// Python's order of numbers, texts and sequences: negative, 0 or positive. @throws DataError if there is none
[[nodiscard]] int compare(const Value& a, const Value& b, Budget& budget);
/// "str", "dict", ... for messages.
[[nodiscard]] std::string type_name(const Value& value);
/// The items of whatever can be gone through; of a text its characters. @throws DataError if it can't
[[nodiscard]] Values iterate(const Value& value, Budget& budget);

/// str(value) and repr(value).
[[nodiscard]] std::string to_text(const Value& value, Budget& budget);
[[nodiscard]] std::string to_repr(const Value& value, Budget& budget);

}  // namespace tdrm::text::jinja
