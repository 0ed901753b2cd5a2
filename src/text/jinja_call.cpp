// Calls: functions that every template has, macros, and what belongs to loops.
#include <algorithm>

#include "jinja_renderer.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {

Arguments Renderer::evaluate_arguments(const Expression& e) {
    Arguments result;
    for (const Argument& argument : e.arguments) {
        const Value value = evaluate(*argument.value);
        switch (argument.kind) {
            case Argument::Kind::positional:
                result.positional.push_back(value);
                break;
            case Argument::Kind::named:
                result.named.emplace_back(argument.name, value);
                break;
            case Argument::Kind::list:
                for (const Value& item : iterate(value, budget_)) result.positional.push_back(item);
                break;
            case Argument::Kind::dict:
                if (value.dict() == nullptr) refuse(cat("** in front of ", type_name(value)));
                for (const auto& [name, item] : value.dict()->entries) {
                    if (!name.is_text()) refuse("** with a key that isn't a text");
                    budget_.step();
                    result.named.emplace_back(name.text(), item);
                }
        }
    }
    return result;
}

Value Renderer::call(const Expression& e) {
    const Expression& callee = *e.operands[0];
    if (callee.kind != Kind::attribute) {
        const Value function = evaluate(callee);
        if (function.is_undefined()) fail(cat("the function \"", callee.kind == Kind::name ? callee.text : "", "\""));
        return call_value(function, evaluate_arguments(e));
    }
    const Value object = evaluate(*callee.operands[0]);
    if (object.is_undefined()) refuse(cat("a call of \"", callee.text, "\" of an undefined value"));
    const Arguments arguments = evaluate_arguments(e);
    if (object.object() != nullptr) return call_member(*object.object(), callee.text, arguments);
    if (has_method(object, callee.text)) return call_method(object, callee.text, arguments, budget_);
    const Value function = get_attribute(object, callee.text, budget_);
    if (function.is_undefined()) fail(cat("the method \"", callee.text, "\" of ", type_name(object)));
    return call_value(function, arguments);
}

Value Renderer::call_value(const Value& callee, const Arguments& arguments) {
    Object* object = callee.object();
    if (object == nullptr) refuse(cat("a call of ", type_name(callee)));
    switch (object->kind) {
        case Object::Kind::function:
            return call_function(static_cast<Function&>(*object).name, arguments);
        case Object::Kind::method: {
            const auto& method = static_cast<Method&>(*object);
            return call_method(method.object, method.name, arguments, budget_);
        }
        case Object::Kind::macro:
            return call_macro(static_cast<Macro&>(*object), arguments);
        case Object::Kind::loop: {
            const auto& loop = static_cast<Loop&>(*object);
            const Bound bound(arguments, "loop", {"iterable"}, 1);
            if (!loop.node->recursive) refuse("a call of a loop that isn't recursive");
            const Level level(*this);
            std::string outer = std::exchange(output_, "");
            loop_over(*loop.node, loop.scope, iterate(bound[0], budget_), loop.depth0 + 1);
            return std::exchange(output_, std::move(outer));
        }
        case Object::Kind::joiner: {
            auto& joiner = static_cast<Joiner&>(*object);
            return std::exchange(joiner.used, true) ? Value(joiner.separator) : Value("");
        }
        default:
            refuse(cat("a call of ", type_name(callee)));
    }
}

Value Renderer::call_member(Object& object, const std::string& name, const Arguments& arguments) {
    if (object.kind == Object::Kind::loop && name == "cycle") {
        if (arguments.positional.empty()) refuse("\"loop.cycle\" without values");
        return arguments.positional[static_cast<Loop&>(object).index0 % arguments.positional.size()];
    }
    if (object.kind == Object::Kind::loop && name == "changed") {
        auto& loop = static_cast<Loop&>(object);
        const auto same = [&](const Value& a, const Value& b) { return equal(a, b, budget_); };
        const Values& now = arguments.positional;
        const bool changed = !loop.asked_changed || !std::equal(now.begin(), now.end(), loop.last_changed.begin(),
                                                                loop.last_changed.end(), same);
        loop.asked_changed = true;
        if (changed) loop.last_changed = now;
        return changed;
    }
    if (object.kind == Object::Kind::cycler && name == "next") {
        auto& cycler = static_cast<Cycler&>(object);
        Value now = cycler.items[cycler.at];
        cycler.at = (cycler.at + 1) % cycler.items.size();
        return now;
    }
    if (object.kind == Object::Kind::cycler && name == "reset") {
        static_cast<Cycler&>(object).at = 0;
        return None{};
    }
    fail(cat("the method \"", name, "\""));
}

Value Renderer::call_function(const std::string& name, const Arguments& arguments) {
    if (name == "namespace") return make_namespace(arguments);
    if (name == "dict") return make_dict(entries_of(arguments), budget_);
    if (name == "range") return make_range(arguments, budget_);
    if (name == "raise_exception") {
        const Bound bound(arguments, name, {"message"}, 1);
        std::string text = to_text(bound[0], budget_);
        text.resize(python::offset_of(text, 1000));
        throw DataError(cat("the chat template refuses these messages: ", text, ". Change their roles or contents."));
    }
    if (name == "strftime_now") return format_date(date_, Bound(arguments, name, {"format"}, 1).text(0));
    if (name == "joiner") {
        const Bound bound(arguments, name, {"sep"});
        return std::shared_ptr<Object>(std::make_shared<Joiner>(bound.has(0) ? bound.text(0) : ", "));
    }
    if (arguments.positional.empty()) refuse("a cycler without values");
    int depth = 0;
    for (const Value& item : arguments.positional) depth = std::max(depth, item.depth());
    if (depth >= kMostValueDepth) refuse("values that are nested too deep");
    budget_.make(arguments.positional.size() * sizeof(Value));
    return std::shared_ptr<Object>(std::make_shared<Cycler>(arguments.positional, depth + 1));
}

/// dict(...): a map or pairs, and names.
Entries Renderer::entries_of(const Arguments& arguments) {
    if (arguments.positional.size() > 1) refuse("\"dict\" of more than one map");
    Entries entries;
    const auto set = [&](const Value& key, const Value& value) {
        budget_.step(1 + static_cast<std::int64_t>(entries.size() / 8));
        for (auto& [name, old] : entries) {
            if (!equal(name, key, budget_)) continue;
            old = value;
            return;
        }
        entries.emplace_back(key, value);
    };
    if (!arguments.positional.empty()) {
        const Value& given = arguments.positional[0];
        if (given.dict() != nullptr)
            entries = given.dict()->entries;
        else
            for (const Value& pair : iterate(given, budget_)) {
                const Values parts = iterate(pair, budget_);
                if (parts.size() != 2) refuse("\"dict\" of something that isn't pairs");
                set(parts[0], parts[1]);
            }
    }
    for (const auto& [name, value] : arguments.named) set(Value(name), value);
    return entries;
}

Value Renderer::make_namespace(const Arguments& arguments) {
    budget_.make(sizeof(Namespace));
    Entries entries = entries_of(arguments);
    for (const auto& [name, value] : entries)
        if (!name.is_text() || name.text().starts_with('_'))
            refuse("a namespace with a member whose name isn't a text, or begins with _");
    namespaces_.push_back({std::move(entries)});
    return &namespaces_.back();
}

Value Renderer::call_macro(const Macro& macro, const Arguments& arguments) {
    const Level level(*this);
    std::string outer = std::exchange(output_, "");
    const InScope inside(*this, macro.scope);
    bind_parameters(*macro.node, arguments, *scope_);
    (void)run(macro.node->bodies[0]);
    return std::exchange(output_, std::move(outer));
}

void Renderer::bind_parameters(const Node& node, const Arguments& arguments, Scope& scope) {
    const std::size_t count = node.parameters.size();
    std::vector<bool> used(arguments.named.size(), false);
    for (std::size_t i = 0; i < count; ++i) {
        const Parameter& parameter = node.parameters[i];
        const Value* given = i < arguments.positional.size() ? &arguments.positional[i] : nullptr;
        for (std::size_t n = 0; n < arguments.named.size() && given == nullptr; ++n) {
            if (arguments.named[n].first != parameter.name || used[n]) continue;
            given = &arguments.named[n].second;
            used[n] = true;
        }
        if (given != nullptr)
            scope.set(parameter.id, *given);
        else
            scope.set(parameter.id, parameter.otherwise ? evaluate(*parameter.otherwise) : Value());
    }
    Entries rest;
    const auto is_caller = [](const Parameter& parameter) { return parameter.name == "caller"; };
    if (caller_id_ >= 0 && std::none_of(node.parameters.begin(), node.parameters.end(), is_caller))
        scope.set(caller_id_, {});
    for (std::size_t n = 0; n < arguments.named.size(); ++n) {
        const auto& [name, value] = arguments.named[n];
        if (used[n]) continue;
        if (name == "caller" && caller_id_ >= 0) {
            scope.set(caller_id_, value);
        } else {
            rest.emplace_back(Value(name), value);
        }
    }
    Values more;
    for (std::size_t i = count; i < arguments.positional.size(); ++i) more.push_back(arguments.positional[i]);
    if (!more.empty() && varargs_id_ < 0) refuse(cat("the macro \"", node.text, "\" with too many arguments"));
    if (!rest.empty() && kwargs_id_ < 0)
        refuse(cat("the macro \"", node.text, "\" with an argument \"", rest[0].first.text(),
                   "\", which it doesn't have"));
    if (varargs_id_ >= 0) scope.set(varargs_id_, make_list(std::move(more), budget_, List::Kind::tuple));
    if (kwargs_id_ >= 0) scope.set(kwargs_id_, make_dict(std::move(rest), budget_));
}

}  // namespace tdrm::text::jinja
