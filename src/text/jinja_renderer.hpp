// Runs a parsed template. Private to jinja_run.cpp, jinja_evaluate.cpp and jinja_call.cpp.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "jinja.hpp"
#include "jinja_functions.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {

/// Variables of a block. A name is looked up outwards, from where the block is written, not from where it is called.
struct Scope {
    Scope* parent;
    std::vector<std::pair<int, Value>> variables = {};
    bool kept = false;  ///< a macro may still ask for it

    [[nodiscard]] Value* find(int id);
    void set(int id, Value value);
};

struct Macro : Object {
    Macro(const Node* what, Scope* where) : Object(Kind::macro, 1), node(what), scope(where) {}
    [[nodiscard]] std::string repr() const override { return cat("<Macro '", node->text, "'>"); }
    const Node* node;
    Scope* scope;
};

/// The variable `loop`.
struct Loop : Object {
    Loop(const Node* what, Scope* where, Values list, int how_deep, int level)
        : Object(Kind::loop, how_deep), node(what), scope(where), items(std::move(list)), depth0(level) {}
    [[nodiscard]] std::string repr() const override { return cat("<LoopContext ", index0 + 1, "/", items.size(), ">"); }
    const Node* node;
    Scope* scope;
    Values items;
    int depth0;
    std::size_t index0 = 0;
    Values last_changed = {};
    bool asked_changed = false;
};

struct Cycler : Object {
    Cycler(Values list, int how_deep) : Object(Kind::cycler, how_deep), items(std::move(list)) {}
    Values items;
    std::size_t at = 0;
};

struct Joiner : Object {
    explicit Joiner(std::string text) : Object(Kind::joiner, 1), separator(std::move(text)) {}
    std::string separator;
    bool used = false;
};

class Renderer {
public:
    Renderer(const Template& parsed, const Json& context, std::string date);
    std::string run();

private:
    /// How a run of nodes ended.
    enum class Flow { on, leave, next };
    class Level;
    class InScope;
    using Kind = Expression::Kind;

    // statements
    Flow run(const Nodes& nodes);
    Flow run(const Node& node);
    Flow run_branch(const Node& node);
    void run_loop(const Node& node);
    void loop_over(const Node& node, Scope* outer, Values items, int level);
    Values kept_items(const Node& node, Scope* outer, Values items);
    Flow run_with(const Node& node);
    void run_call(const Node& node);
    void run_block(const Node& node);
    /// What the nodes write, in a scope of their own.
    std::string captured(const Nodes& nodes, Scope* parent);
    void assign(const Target& target, const Value& value);
    void write(std::string_view text);
    Value make_macro(const Node& node);

    // expressions
    Value evaluate(const Expression& e);
    Value evaluate_part(const Expression& e);
    Value evaluate_list(const Expression& e);
    Value evaluate_dict(const Expression& e);
    Value evaluate_comparison(const Expression& e);
    Value evaluate_slice(const Expression& e);
    Value concatenate(const Expression& e);
    Value filtered(const Expression& filter, std::string text);
    Value look_up(const Expression& name);
    Value attribute_of(const Value& value, const std::string& name);
    Value loop_attribute(const Loop& loop, const std::string& name);

    // calls
    Arguments evaluate_arguments(const Expression& e);
    Value call(const Expression& e);
    Value call_value(const Value& callee, const Arguments& arguments);
    Value call_function(const std::string& name, const Arguments& arguments);
    Value call_member(Object& object, const std::string& name, const Arguments& arguments);
    Value call_macro(const Macro& macro, const Arguments& arguments);
    void bind_parameters(const Node& node, const Arguments& arguments, Scope& scope);
    Entries entries_of(const Arguments& arguments);
    Value make_namespace(const Arguments& arguments);

    /// The number of a name that the template uses; -1 if it doesn't.
    [[nodiscard]] int id_of(std::string_view name) const;

    const Template& template_;
    std::string date_;
    Budget budget_;
    std::unordered_map<std::string_view, int> ids_;
    int loop_id_, caller_id_, varargs_id_, kwargs_id_;
    Scope globals_{nullptr};
    Scope root_{&globals_};
    Scope* scope_ = &root_;
    std::vector<std::unique_ptr<Scope>> kept_;  ///< scopes that macros refer to
    std::deque<Namespace> namespaces_;
    std::string output_;
    const Value* filter_input_ = nullptr;  ///< what a block gives to its first filter
    int depth_ = 0;
};

/// Bounds the recursion of a rendering, macros that call each other included.
class Renderer::Level {
public:
    explicit Level(Renderer& renderer) : renderer_(renderer) {
        if (++renderer_.depth_ > kMostDepth)
            refuse("macros, loops or expressions that go too deep (they may never end)");
        renderer_.budget_.step();
    }
    ~Level() { --renderer_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

private:
    static constexpr int kMostDepth = 800;
    Renderer& renderer_;
};

/// Enters a new scope; one that a macro refers to lives on.
class Renderer::InScope {
public:
    InScope(Renderer& renderer, Scope* parent)
        : renderer_(renderer), before_(renderer.scope_), scope_(std::make_unique<Scope>(Scope{parent})) {
        renderer_.scope_ = scope_.get();
    }
    ~InScope() {
        renderer_.scope_ = before_;
        if (scope_->kept) renderer_.kept_.push_back(std::move(scope_));
    }
    InScope(const InScope&) = delete;
    InScope& operator=(const InScope&) = delete;

private:
    Renderer& renderer_;
    Scope* before_;
    std::unique_ptr<Scope> scope_;
};

}  // namespace tdrm::text::jinja
