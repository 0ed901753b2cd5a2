// A parsed template. Names of variables are numbers, so that looking one up compares no texts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "jinja_value.hpp"

namespace tdrm::text::jinja {

constexpr int kMostExpressionDepth = 400;
constexpr int kMostBlockDepth = 100;

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Argument {
    enum class Kind { positional, named, list, dict };  ///< x, name=x, *x, **x
    Kind kind;
    std::string name;
    ExpressionPtr value;
};

/// One node of an expression tree.
struct Expression {
    enum class Kind {
        literal,      ///< value
        name,         ///< id, text
        list,         ///< operands
        tuple,        ///< operands
        dict,         ///< operands: key, value, key, value ...
        concat,       ///< operands, joined as texts
        attribute,    ///< operands[0].text
        item,         ///< operands[0][operands[1]]
        slice,        ///< operands[0][operands[1]:operands[2]:operands[3]], each but the first may be null
        call,         ///< operands[0](arguments)
        filter,       ///< operands[0] | text(arguments); operands[0] is null in a block with a filter
        test,         ///< operands[0] is text(arguments)
        negation,     ///< not operands[0]
        sign,         ///< text operands[0]
        both,         ///< operands[0] and operands[1]
        either,       ///< operands[0] or operands[1]
        arithmetic,   ///< operands[0] text operands[1]
        comparison,   ///< operands[0] operators[0] operands[1] operators[1] operands[2] ...
        conditional,  ///< operands[0] if operands[1] else operands[2] (may be null)
        unknown,      ///< text says what; an error when it is reached
    };
    Kind kind;
    std::string text;
    int id = -1;
    Value value = {};
    std::vector<ExpressionPtr> operands = {};
    std::vector<Argument> arguments = {};
    std::vector<std::string> operators = {};
    int depth = 1;  ///< of the tree below, kMostExpressionDepth at most
};

struct Node;
using Nodes = std::vector<Node>;

/// What a `set`, `for` or `with` assigns to: a name, a member of a namespace, or several of them.
struct Target {
    int id = -1;
    std::string name = {};
    std::string member = {};         ///< "" for a plain name
    std::vector<Target> parts = {};  ///< of a tuple
    bool is_tuple = false;
};

/// Names with defaults, null where there is none: of a macro, or of the block that is called back.
struct Parameter {
    int id;
    std::string name;
    ExpressionPtr otherwise;
};

/// One piece of a template.
struct Node {
    enum class Kind {
        text,       ///< text
        output,     ///< expressions
        branch,     ///< bodies[i] under expressions[i]; one more body is the else
        loop,       ///< for targets[0] in expressions[0] if expressions[1]: bodies[0], bodies[1] if none was completed
        set,        ///< targets[0] = expressions[0]
        set_block,  ///< targets[0] = bodies[0] | expressions[0]
        with,       ///< targets = expressions: bodies[0]
        macro,      ///< text(parameters): bodies[0]
        call,       ///< expressions[0], which may call back bodies[0] with parameters
        filter_block,  ///< bodies[0] | expressions[0]
        block,         ///< bodies[0] in the scope of the template
        scope,         ///< bodies[0] as it stands
        leave,         ///< break
        next,          ///< continue
        unknown,       ///< text says what; an error when it is reached
    };
    Kind kind;
    std::string text = {};
    int id = -1;             ///< of a macro's name
    bool recursive = false;  ///< of a loop
    std::vector<ExpressionPtr> expressions = {};
    std::vector<Target> targets = {};
    std::vector<Parameter> parameters = {};
    std::vector<Nodes> bodies = {};
};

struct Template {
    Nodes nodes;
    std::vector<std::string> names;  ///< by id
};

}  // namespace tdrm::text::jinja
