// The part of the Jinja template language that chat templates use, rendered as transformers renders them
// (trim_blocks, lstrip_blocks). Whatever it doesn't know is an error when it is reached, never a different text.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm::text::jinja {

/// Template values are JSON; the discarded value stands for Jinja's undefined.
using Value = nlohmann::json;
[[nodiscard]] inline Value undefined() { return Value(Value::value_t::discarded); }

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Argument {
    std::string name;  ///< "" if positional
    ExpressionPtr value;
};

/// One node of an expression tree.
struct Expression {
    enum class Kind {
        literal,      ///< value
        name,         ///< text
        list,         ///< operands
        dict,         ///< operands: key, value, key, value ...
        attribute,    ///< operands[0].text
        item,         ///< operands[0][operands[1]]
        slice,        ///< operands[0][operands[1]:operands[2]:operands[3]], each but the first may be null
        call,         ///< operands[0](arguments)
        filter,       ///< operands[0] | text(arguments)
        test,         ///< operands[0] is text(arguments)
        unary,        ///< text operands[0]
        binary,       ///< operands[0] text operands[1]
        conditional,  ///< operands[0] if operands[1] else operands[2] (may be null)
    };
    Kind kind;
    std::string text;
    Value value;
    std::vector<ExpressionPtr> operands;
    std::vector<Argument> arguments;
};

struct Node;
using Nodes = std::vector<Node>;

/// One piece of a template.
struct Node {
    enum class Kind {
        text,    ///< text
        output,  ///< expression
        branch,  ///< bodies[i] under conditions[i]; one more body is the else
        loop,    ///< for names in expression if condition: bodies[0], bodies[1] if there was nothing
        set,     ///< names[0] = expression, or names[0].names[1] = expression, or names[0] = bodies[0]
        macro,   ///< text(names, conditions as defaults): bodies[0]
        block,   ///< bodies[0]
        leave,   ///< break
        next,    ///< continue
    };
    Kind kind;
    std::string text;
    ExpressionPtr expression;
    ExpressionPtr condition;
    std::vector<ExpressionPtr> conditions;
    std::vector<std::string> names;
    std::vector<Nodes> bodies;
};

/// @throws DataError if the source isn't a template of the known part of the language.
[[nodiscard]] Nodes parse(std::string_view source);
/// @throws DataError if the template raises an exception or reaches something unknown.
[[nodiscard]] std::string render(const Nodes& nodes, const Value& context);

// Values as Python has them (jinja_values.cpp).
[[nodiscard]] bool is_true(const Value& value);
[[nodiscard]] std::string to_text(const Value& value);
[[nodiscard]] Value get_item(const Value& object, const Value& key);
[[nodiscard]] Value get_slice(const Value& object, const Value& begin, const Value& end, const Value& step);
[[nodiscard]] bool contains(const Value& container, const Value& element);
[[nodiscard]] Value binary(const std::string& op, const Value& left, const Value& right);
[[nodiscard]] Value call_method(const Value& object, const std::string& name, const std::vector<Value>& arguments);
[[nodiscard]] Value apply_filter(const std::string& name, const Value& value, const std::vector<Value>& arguments);
[[nodiscard]] bool apply_test(const std::string& name, const Value& value, const std::vector<Value>& arguments);
[[noreturn]] void fail(const std::string& what);

}  // namespace tdrm::text::jinja
