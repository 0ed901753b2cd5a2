// The statements of a template.
#include <algorithm>
#include <stdexcept>
#include <utility>

#include "jinja_renderer.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {

Value* Scope::find(int id) {
    for (Scope* scope = this; scope != nullptr; scope = scope->parent)
        for (auto& [name, value] : scope->variables)
            if (name == id) return &value;
    return nullptr;
}

void Scope::set(int id, Value value) {
    for (auto& [name, old] : variables) {
        if (name != id) continue;
        old = std::move(value);
        return;
    }
    variables.emplace_back(id, std::move(value));
}

Renderer::Renderer(const Template& parsed, const Json& context, std::string date)
    : template_(parsed), date_(std::move(date)) {
    for (std::size_t i = 0; i < parsed.names.size(); ++i) ids_.emplace(parsed.names[i], static_cast<int>(i));
    loop_id_ = id_of("loop");
    caller_id_ = id_of("caller");
    varargs_id_ = id_of("varargs");
    kwargs_id_ = id_of("kwargs");
    for (const char* name : {"namespace", "dict", "range", "cycler", "joiner", "raise_exception", "strftime_now"})
        if (const int id = id_of(name); id >= 0)
            globals_.set(id, std::shared_ptr<Object>(std::make_shared<Function>(name)));
    for (const auto& [name, value] : context.items())
        if (const int id = id_of(name); id >= 0) root_.set(id, from_json(value, budget_));
}

int Renderer::id_of(std::string_view name) const {
    const auto found = ids_.find(name);
    return found == ids_.end() ? -1 : found->second;
}

std::string Renderer::run() {
    (void)run(template_.nodes);
    return std::move(output_);
}

void Renderer::write(std::string_view text) {
    budget_.make(text.size());
    output_ += text;
}

Renderer::Flow Renderer::run(const Nodes& nodes) {
    for (const Node& node : nodes) {
        const Flow flow = run(node);
        if (flow != Flow::on) return flow;
    }
    return Flow::on;
}

Renderer::Flow Renderer::run(const Node& node) {
    const Level level(*this);
    switch (node.kind) {
        case Node::Kind::text:
            write(node.text);
            break;
        case Node::Kind::output:
            for (const ExpressionPtr& expression : node.expressions) output_ += to_text(evaluate(*expression), budget_);
            break;
        case Node::Kind::branch:
            return run_branch(node);
        case Node::Kind::loop:
            run_loop(node);
            break;
        case Node::Kind::set:
            assign(node.targets[0], evaluate(*node.expressions[0]));
            break;
        case Node::Kind::set_block: {
            std::string text = captured(node.bodies[0], scope_);
            assign(node.targets[0],
                   node.expressions[0] ? filtered(*node.expressions[0], std::move(text)) : Value(std::move(text)));
            break;
        }
        case Node::Kind::with:
            return run_with(node);
        case Node::Kind::macro:
            scope_->set(node.id, make_macro(node));
            break;
        case Node::Kind::call:
            run_call(node);
            break;
        case Node::Kind::filter_block:
            output_ += to_text(filtered(*node.expressions[0], captured(node.bodies[0], scope_)), budget_);
            break;
        case Node::Kind::block:
            run_block(node);
            break;
        case Node::Kind::scope:
            return run(node.bodies[0]);
        case Node::Kind::leave:
            return Flow::leave;
        case Node::Kind::next:
            return Flow::next;
        case Node::Kind::unknown:
            fail(node.text);
    }
    return Flow::on;
}

Renderer::Flow Renderer::run_branch(const Node& node) {
    for (std::size_t i = 0; i < node.bodies.size(); ++i) {
        if (i == node.expressions.size() || is_true(evaluate(*node.expressions[i]))) return run(node.bodies[i]);
    }
    return Flow::on;
}

void Renderer::run_loop(const Node& node) {
    if (node.recursive)
        for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) scope->kept = true;
    loop_over(node, scope_, iterate(evaluate(*node.expressions[0]), budget_), 0);
}

/// The items that pass the loop's condition, which sees them under the loop's names.
Values Renderer::kept_items(const Node& node, Scope* outer, Values items) {
    if (!node.expressions[1]) return items;
    Values kept;
    for (Value& item : items) {
        const InScope inside(*this, outer);
        assign(node.targets[0], item);
        if (is_true(evaluate(*node.expressions[1]))) kept.push_back(std::move(item));
    }
    return kept;
}

void Renderer::loop_over(const Node& node, Scope* outer, Values items, int level) {
    items = kept_items(node, outer, std::move(items));
    const std::size_t size = items.size();
    int depth = 0;
    for (const Value& item : items) depth = std::max(depth, item.depth());
    budget_.make(sizeof(Loop));
    const auto loop = std::make_shared<Loop>(&node, outer, std::move(items), depth + 1, level);
    bool completed = false;  // Jinja's else runs unless some round came to its end
    for (std::size_t i = 0; i < size; ++i) {
        loop->index0 = i;
        const InScope inside(*this, outer);
        if (loop_id_ >= 0) scope_->set(loop_id_, std::shared_ptr<Object>(loop));
        assign(node.targets[0], loop->items[i]);
        const Flow flow = run(node.bodies[0]);
        completed = completed || flow == Flow::on;
        if (flow == Flow::leave) break;
    }
    loop->last_changed.clear();  // it may hold the loop itself
    if (completed || node.bodies.size() < 2) return;
    const InScope inside(*this, outer);
    (void)run(node.bodies[1]);
}

Renderer::Flow Renderer::run_with(const Node& node) {
    Values values;
    for (const ExpressionPtr& expression : node.expressions) values.push_back(evaluate(*expression));
    const InScope inside(*this, scope_);
    for (std::size_t i = 0; i < values.size(); ++i) assign(node.targets[i], values[i]);
    return run(node.bodies[0]);
}

void Renderer::run_call(const Node& node) {
    const Expression& e = *node.expressions[0];
    Arguments arguments = evaluate_arguments(e);
    arguments.named.emplace_back("caller", make_macro(node));
    write(to_text(call_value(evaluate(*e.operands[0]), arguments), budget_));
}

void Renderer::run_block(const Node& node) {
    const InScope inside(*this, &root_);
    (void)run(node.bodies[0]);
}

std::string Renderer::captured(const Nodes& nodes, Scope* parent) {
    std::string outer = std::exchange(output_, "");
    const InScope inside(*this, parent);
    (void)run(nodes);
    return std::exchange(output_, std::move(outer));
}

void Renderer::assign(const Target& target, const Value& value) {
    if (target.is_tuple) {
        const Values parts = iterate(value, budget_);
        if (parts.size() != target.parts.size())
            refuse(cat("an assignment of ", parts.size(), " values to ", target.parts.size(), " names"));
        for (std::size_t i = 0; i < parts.size(); ++i) assign(target.parts[i], parts[i]);
        return;
    }
    if (target.member.empty()) return scope_->set(target.id, value);
    const Value* found = scope_->find(target.id);
    Namespace* space = found == nullptr ? nullptr : found->space();
    if (space == nullptr)
        refuse(cat("an assignment to ", target.name, ".", target.member, ", which isn't of a namespace"));
    budget_.step(static_cast<std::int64_t>(space->entries.size() / 8));
    if (Value* member = space->find(target.member))
        *member = value;
    else
        space->entries.emplace_back(Value(target.member), value);
}

Value Renderer::make_macro(const Node& node) {
    for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) scope->kept = true;
    budget_.make(sizeof(Macro) + sizeof(Scope));
    return std::shared_ptr<Object>(std::make_shared<Macro>(&node, scope_));
}

std::string render(const Template& parsed, const Json& context, const std::string& date) {
    return Renderer(parsed, context, date).run();
}

}  // namespace tdrm::text::jinja
