#include <map>
#include <set>

#include "jinja.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {
namespace {

constexpr std::int64_t kMostSteps = 1'000'000;  ///< nodes and expressions of one rendering
constexpr std::size_t kMostOutput = 256 << 20;  ///< bytes

/// How a run of nodes ended.
enum class Flow { on, leave, next };

class Renderer {
public:
    explicit Renderer(const Value& context) : scopes_(1) {
        for (const auto& [name, value] : context.items()) scopes_[0][name] = value;
    }

    Flow run(const Nodes& nodes) {
        for (const Node& node : nodes) {
            const Flow flow = run(node);
            if (flow != Flow::on) return flow;
        }
        return Flow::on;
    }
    std::string take_output() { return std::move(output_); }

private:
    using Kind = Expression::Kind;

    void count() {
        if (++steps_ > kMostSteps || output_.size() > kMostOutput) {
            throw DataError("the chat template doesn't come to an end (its loops are too long). Use another template.");
        }
    }

    Flow run(const Node& node) {
        count();
        switch (node.kind) {
            case Node::Kind::text:
                output_ += node.text;
                break;
            case Node::Kind::output:
                output_ += to_text(evaluate(*node.expression));
                break;
            case Node::Kind::branch:
                return run_branch(node);
            case Node::Kind::loop:
                return run_loop(node), Flow::on;
            case Node::Kind::set:
                run_set(node);
                break;
            case Node::Kind::macro:
                macros_[node.text] = &node;
                break;
            case Node::Kind::block:
                return run(node.bodies[0]);
            case Node::Kind::leave:
                return Flow::leave;
            case Node::Kind::next:
                return Flow::next;
        }
        return Flow::on;
    }

    Flow run_branch(const Node& node) {
        for (std::size_t i = 0; i < node.bodies.size(); ++i) {
            if (i == node.conditions.size() || is_true(evaluate(*node.conditions[i]))) return run(node.bodies[i]);
        }
        return Flow::on;
    }

    void run_loop(const Node& node) {
        Value items = evaluate(*node.expression);
        if (items.is_object()) items = call_method(items, "keys", {});
        if (items.is_discarded()) items = Value::array();
        if (!items.is_array()) fail(cat("a loop over ", items.type_name()));
        scopes_.emplace_back();
        if (node.condition) {
            Value kept = Value::array();
            for (const Value& item : items) {
                bind(node.names, item);
                if (is_true(evaluate(*node.condition))) kept.push_back(item);
            }
            items = std::move(kept);
        }
        bool completed = false;  // Jinja's else runs unless some round came to its end
        for (std::size_t i = 0; i < items.size(); ++i) {
            std::erase_if(scopes_.back(), [](const auto& entry) { return entry.first != "loop"; });
            bind(node.names, items[i]);
            set_loop_variable(scopes_.back()["loop"], items, i);
            const Flow flow = run(node.bodies[0]);
            completed = completed || flow == Flow::on;
            if (flow == Flow::leave) break;
        }
        scopes_.back().clear();
        if (!completed && node.bodies.size() > 1) run(node.bodies[1]);
        scopes_.pop_back();
    }

    /// Written in place: this is most of the work of a loop.
    static void set_loop_variable(Value& loop, const Value& items, std::size_t i) {
        if (!loop.is_object()) loop = Value::object();
        loop["index"] = i + 1;
        loop["index0"] = i;
        loop["first"] = i == 0;
        loop["last"] = i + 1 == items.size();
        loop["length"] = items.size();
        loop["revindex"] = items.size() - i;
        loop["revindex0"] = items.size() - i - 1;
        loop["previtem"] = i > 0 ? items[i - 1] : undefined();
        loop["nextitem"] = i + 1 < items.size() ? items[i + 1] : undefined();
    }

    void bind(const std::vector<std::string>& names, const Value& item) {
        if (names.size() == 1) {
            scopes_.back()[names[0]] = item;
            return;
        }
        if (!item.is_array() || item.size() != names.size()) fail("a loop whose items don't fit its names");
        for (std::size_t i = 0; i < names.size(); ++i) scopes_.back()[names[i]] = item[i];
    }

    void run_set(const Node& node) {
        Value value;
        if (node.expression) {
            value = evaluate(*node.expression);
        } else {
            std::string outer = std::exchange(output_, "");
            run(node.bodies[0]);
            value = std::exchange(output_, std::move(outer));
        }
        if (node.names.size() == 1) {
            namespaces_.erase(node.names[0]);
            if (node.expression && is_namespace_call(*node.expression)) namespaces_.insert(node.names[0]);
            scopes_.back()[node.names[0]] = std::move(value);
            return;
        }
        Value* target = find(node.names[0]);
        if (target == nullptr || !namespaces_.contains(node.names[0]))
            fail(cat("an assignment to ", node.names[0], ".", node.names[1]));
        (*target)[node.names[1]] = std::move(value);
    }

    static bool is_namespace_call(const Expression& e) {
        return e.kind == Kind::call && e.operands[0]->kind == Kind::name && e.operands[0]->text == "namespace";
    }

    Value* find(const std::string& name) {
        for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
            const auto entry = scope->find(name);
            if (entry != scope->end()) return &entry->second;
        }
        return nullptr;
    }

    Value evaluate(const Expression& e) {
        count();
        switch (e.kind) {
            case Kind::literal:
                return e.value;
            case Kind::name: {
                const Value* value = find(e.text);
                if (value == nullptr && (kGlobals.contains(e.text) || macros_.contains(e.text)))
                    return Value(true);  // defined
                return value == nullptr ? undefined() : *value;
            }
            case Kind::list: {
                Value list = Value::array();
                for (const ExpressionPtr& item : e.operands) list.push_back(evaluate(*item));
                return list;
            }
            case Kind::dict: {
                Value dict = Value::object();
                for (std::size_t i = 0; i < e.operands.size(); i += 2) {
                    dict[to_text(evaluate(*e.operands[i]))] = evaluate(*e.operands[i + 1]);
                }
                return dict;
            }
            case Kind::attribute:
                return get_item(evaluate(*e.operands[0]), e.text);
            case Kind::item:
                return get_item(evaluate(*e.operands[0]), evaluate(*e.operands[1]));
            case Kind::slice: {
                const auto part = [&](std::size_t i) { return e.operands[i] ? evaluate(*e.operands[i]) : Value(); };
                return get_slice(evaluate(*e.operands[0]), part(1), part(2), part(3));
            }
            case Kind::call:
                return call(e);
            case Kind::filter:
                return apply_filter(e.text, evaluate(*e.operands[0]), positional(e));
            case Kind::test:
                return apply_test(e.text, evaluate(*e.operands[0]), positional(e));
            case Kind::unary:
                return unary(e.text, evaluate(*e.operands[0]));
            case Kind::binary:
                return evaluate_binary(e);
            case Kind::conditional:
                if (is_true(evaluate(*e.operands[1]))) return evaluate(*e.operands[0]);
                return e.operands[2] ? evaluate(*e.operands[2]) : undefined();
        }
        throw BugError("unknown kind of template expression");
    }

    static Value unary(const std::string& op, const Value& value) {
        if (op == "not") return !is_true(value);
        return binary("-", 0, value);
    }

    Value evaluate_binary(const Expression& e) {
        Value left = evaluate(*e.operands[0]);
        if (e.text == "and") return is_true(left) ? evaluate(*e.operands[1]) : left;
        if (e.text == "or") return is_true(left) ? left : evaluate(*e.operands[1]);
        return binary(e.text, left, evaluate(*e.operands[1]));
    }

    std::vector<Value> positional(const Expression& e) {
        std::vector<Value> values;
        for (const Argument& argument : e.arguments) {
            if (!argument.name.empty()) fail(cat("the argument ", argument.name, "= of \"", e.text, "\""));
            values.push_back(evaluate(*argument.value));
        }
        return values;
    }

    Value call(const Expression& e) {
        const Expression& callee = *e.operands[0];
        if (callee.kind == Kind::attribute) {
            const Value object = evaluate(*callee.operands[0]);
            return call_method(object, callee.text, positional(e));
        }
        if (callee.kind != Kind::name) fail("a call of an unnamed function");
        if (const auto macro = macros_.find(callee.text); macro != macros_.end()) return call_macro(*macro->second, e);
        if (callee.text == "namespace" || callee.text == "dict") {
            Value result = Value::object();
            for (const Argument& argument : e.arguments) result[argument.name] = evaluate(*argument.value);
            return result;
        }
        const auto values = positional(e);
        if (callee.text == "raise_exception") {
            throw DataError(cat("the chat template refuses these messages: ", values.empty() ? "" : to_text(values[0]),
                                ". Change their roles or contents."));
        }
        if (callee.text == "strftime_now") {
            const Value* date = find("date_string");
            if (date == nullptr) fail("today's date");
            return *date;
        }
        if (callee.text == "range") return range(values);
        fail(cat("the function \"", callee.text, "\""));
    }

    static Value range(const std::vector<Value>& values) {
        if (values.empty() || values.size() > 2) fail("range with a step");
        const auto begin = values.size() == 2 ? values[0].get<std::int64_t>() : 0;
        const auto end = values.back().get<std::int64_t>();
        if (end - begin > 1'000'000) fail("a range of more than a million numbers");
        Value result = Value::array();
        for (std::int64_t i = begin; i < end; ++i) result.push_back(i);
        return result;
    }

    Value call_macro(const Node& macro, const Expression& e) {
        if (scopes_.size() > 60) fail("macros that call each other without end");
        std::map<std::string, Value> scope;
        for (std::size_t i = 0; i < macro.names.size(); ++i) {
            scope[macro.names[i]] = macro.conditions[i] ? evaluate(*macro.conditions[i]) : undefined();
        }
        std::size_t next = 0;
        for (const Argument& argument : e.arguments) {
            if (argument.name.empty() && next >= macro.names.size()) fail("a macro with too many arguments");
            scope[argument.name.empty() ? macro.names[next++] : argument.name] = evaluate(*argument.value);
        }
        std::string outer = std::exchange(output_, "");
        scopes_.push_back(std::move(scope));
        run(macro.bodies[0]);
        scopes_.pop_back();
        return std::exchange(output_, std::move(outer));
    }

    inline static const std::set<std::string> kGlobals{"namespace", "dict", "range", "raise_exception", "strftime_now"};
    std::vector<std::map<std::string, Value>> scopes_;
    std::set<std::string> namespaces_;  ///< names of variables made by namespace()
    std::map<std::string, const Node*> macros_;
    std::string output_;
    std::int64_t steps_ = 0;
};

}  // namespace

std::string render(const Nodes& nodes, const Value& context) {
    try {
        Renderer renderer(context);
        renderer.run(nodes);
        return renderer.take_output();
    } catch (const Value::exception& error) {
        fail(cat("a value of an unexpected type (", error.what(), ")"));
    } catch (const std::out_of_range&) {
        fail("a function without its argument");
    }
}

}  // namespace tdrm::text::jinja
