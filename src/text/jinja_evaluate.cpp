// The expressions of a template.
#include <algorithm>

#include "jinja_renderer.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {

Value Renderer::evaluate(const Expression& e) {
    const Level level(*this);
    switch (e.kind) {
        case Kind::literal:
            return e.value;
        case Kind::name:
            return look_up(e);
        case Kind::negation:
            return !is_true(evaluate(*e.operands[0]));
        case Kind::both: {
            Value left = evaluate(*e.operands[0]);
            return is_true(left) ? evaluate(*e.operands[1]) : left;
        }
        case Kind::either: {
            Value left = evaluate(*e.operands[0]);
            return is_true(left) ? left : evaluate(*e.operands[1]);
        }
        case Kind::conditional:
            if (is_true(evaluate(*e.operands[1]))) return evaluate(*e.operands[0]);
            return e.operands[2] ? evaluate(*e.operands[2]) : Value();
        case Kind::call:
            return call(e);
        default:
            return evaluate_part(e);
    }
}

Value Renderer::evaluate_part(const Expression& e) {
    switch (e.kind) {
        case Kind::list:
        case Kind::tuple:
            return evaluate_list(e);
        case Kind::dict:
            return evaluate_dict(e);
        case Kind::concat:
            return concatenate(e);
        case Kind::attribute:
            return attribute_of(evaluate(*e.operands[0]), e.text);
        case Kind::item: {
            const Value object = evaluate(*e.operands[0]);
            const Value key = evaluate(*e.operands[1]);
            if (object.object() != nullptr && key.is_text()) return attribute_of(object, key.text());
            return get_item(object, key, budget_);
        }
        case Kind::slice:
            return evaluate_slice(e);
        case Kind::filter: {
            const Value input = e.operands[0] ? evaluate(*e.operands[0]) : *filter_input_;
            return apply_filter(e.text, input, evaluate_arguments(e), budget_);
        }
        case Kind::test: {
            const Value input = evaluate(*e.operands[0]);
            return apply_test(e.text, input, evaluate_arguments(e), budget_);
        }
        case Kind::sign:
            return negative(evaluate(*e.operands[0]), e.text == "-");
        case Kind::arithmetic: {
            const Value left = evaluate(*e.operands[0]);
            return apply_operator(e.text, left, evaluate(*e.operands[1]), budget_);
        }
        case Kind::comparison:
            return evaluate_comparison(e);
        case Kind::unknown:
            fail(e.text);
        default:
            throw BugError("unknown kind of template expression");
    }
}

Value Renderer::look_up(const Expression& name) {
    const Value* found = scope_->find(name.id);
    return found == nullptr ? Value() : *found;
}

Value Renderer::evaluate_list(const Expression& e) {
    Values items;
    for (const ExpressionPtr& item : e.operands) items.push_back(evaluate(*item));
    return make_list(std::move(items), budget_, e.kind == Kind::tuple ? List::Kind::tuple : List::Kind::list);
}

/// A key that comes again keeps its place and takes the later value.
Value Renderer::evaluate_dict(const Expression& e) {
    Entries entries;
    for (std::size_t i = 0; i < e.operands.size(); i += 2) {
        const Value key = evaluate(*e.operands[i]);
        Value value = evaluate(*e.operands[i + 1]);
        if (key.dict() != nullptr || (key.list() != nullptr && key.list()->kind == List::Kind::list))
            refuse(cat("a ", type_name(key), " as the key of a dict"));
        const auto old = std::find_if(entries.begin(), entries.end(),
                                      [&](const auto& entry) { return equal(entry.first, key, budget_); });
        if (old == entries.end())
            entries.emplace_back(key, std::move(value));
        else
            old->second = std::move(value);
    }
    return make_dict(std::move(entries), budget_);
}

Value Renderer::evaluate_comparison(const Expression& e) {
    Value left = evaluate(*e.operands[0]);
    for (std::size_t i = 0; i < e.operators.size(); ++i) {
        Value right = evaluate(*e.operands[i + 1]);
        if (!is_true(apply_operator(e.operators[i], left, right, budget_))) return false;
        left = std::move(right);
    }
    return true;
}

Value Renderer::evaluate_slice(const Expression& e) {
    const auto part = [&](std::size_t i) { return e.operands[i] ? evaluate(*e.operands[i]) : Value(None{}); };
    const Value object = evaluate(*e.operands[0]);
    const Value begin = part(1);
    const Value end = part(2);
    return get_slice(object, begin, end, part(3), budget_);
}

Value Renderer::concatenate(const Expression& e) {
    std::string text;
    for (const ExpressionPtr& part : e.operands) text += to_text(evaluate(*part), budget_);
    return text;
}

/// `text` through the filters of a block.
Value Renderer::filtered(const Expression& filter, std::string text) {
    const Value input(std::move(text));
    const Value* before = std::exchange(filter_input_, &input);
    Value result = evaluate(filter);
    filter_input_ = before;
    return result;
}

Value Renderer::attribute_of(const Value& value, const std::string& name) {
    const Object* object = value.object();
    if (object == nullptr) return get_attribute(value, name, budget_);
    if (object->kind == Object::Kind::loop) return loop_attribute(static_cast<const Loop&>(*object), name);
    if (object->kind == Object::Kind::macro && name == "name") return static_cast<const Macro&>(*object).node->text;
    if (object->kind == Object::Kind::cycler && name == "current") {
        const auto& cycler = static_cast<const Cycler&>(*object);
        return cycler.items[cycler.at];
    }
    return {};
}

Value Renderer::loop_attribute(const Loop& loop, const std::string& name) {
    const auto whole = [](std::size_t number) { return Value(static_cast<std::int64_t>(number)); };
    const std::size_t size = loop.items.size();
    if (name == "index") return whole(loop.index0 + 1);
    if (name == "index0") return whole(loop.index0);
    if (name == "first") return loop.index0 == 0;
    if (name == "last") return loop.index0 + 1 == size;
    if (name == "length") return whole(size);
    if (name == "revindex") return whole(size - loop.index0);
    if (name == "revindex0") return whole(size - loop.index0 - 1);
    if (name == "depth") return whole(static_cast<std::size_t>(loop.depth0) + 1);
    if (name == "depth0") return whole(static_cast<std::size_t>(loop.depth0));
    if (name == "previtem") return loop.index0 > 0 ? loop.items[loop.index0 - 1] : Value();
    if (name == "nextitem") return loop.index0 + 1 < size ? loop.items[loop.index0 + 1] : Value();
    return {};
}

}  // namespace tdrm::text::jinja
