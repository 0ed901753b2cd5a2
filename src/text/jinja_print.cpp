// str(), repr() and json.dumps() of template values.
#include <cmath>

#include "jinja_functions.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::jinja {
namespace {

/// Appends and charges what it appends.
class Printer {
public:
    explicit Printer(Budget& budget) : budget_(budget) {}
    void add(std::string_view text) {
        budget_.make(text.size());
        text_ += text;
    }
    std::string take() { return std::move(text_); }
    /// Goes into a value, or out of it: only namespaces, which may hold themselves, can be nested without end.
    void enter() {
        if (++depth_ > 2 * kMostValueDepth) refuse("a namespace that holds itself as text");
    }
    void leave() { --depth_; }
    Budget& budget() { return budget_; }

private:
    Budget& budget_;
    std::string text_;
    int depth_ = 0;
};

void print(const Value& value, Printer& out);

void print_items(const Values& items, std::string_view open, std::string_view close, Printer& out) {
    out.add(open);
    for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out.add(", ");
        print(items[i], out);
    }
    out.add(close);
}

void print_list(const List& list, Printer& out) {
    switch (list.kind) {
        case List::Kind::list:
            return print_items(list.items, "[", "]", out);
        case List::Kind::tuple:
            return print_items(list.items, "(", list.items.size() == 1 ? ",)" : ")", out);
        case List::Kind::keys:
            return print_items(list.items, "dict_keys([", "])", out);
        case List::Kind::values:
            return print_items(list.items, "dict_values([", "])", out);
        case List::Kind::items:
            return print_items(list.items, "dict_items([", "])", out);
        case List::Kind::range:
            out.add(list.step == 1 ? cat("range(", list.begin, ", ", list.end, ")")
                                   : cat("range(", list.begin, ", ", list.end, ", ", list.step, ")"));
    }
}

void print_entries(const Entries& entries, Printer& out) {
    out.add("{");
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (i > 0) out.add(", ");
        print(entries[i].first, out);
        out.add(": ");
        print(entries[i].second, out);
    }
    out.add("}");
}

/// repr(value)
void print(const Value& value, Printer& out) {
    out.budget().step();
    if (value.is_undefined()) return out.add("Undefined");
    if (value.is_none()) return out.add("None");
    if (value.is_bool()) return out.add(value.as_int() != 0 ? "True" : "False");
    if (value.is_int()) return out.add(cat(value.as_int()));
    if (value.is_real()) return out.add(python::repr(value.as_real()));
    if (value.is_text()) {
        out.budget().walk(value.text().size());
        return out.add(value.is_markup() ? cat("Markup(", python::repr(value.text()), ")")
                                         : python::repr(value.text()));
    }
    out.enter();
    if (const List* list = value.list()) {
        print_list(*list, out);
    } else if (const Dict* dict = value.dict()) {
        print_entries(dict->entries, out);
    } else if (const Namespace* space = value.space()) {
        out.add("<Namespace ");
        print_entries(space->entries, out);
        out.add(">");
    } else {
        const std::string text = value.object()->repr();
        if (text.empty()) fail(cat("a ", type_name(value), " as text"));
        out.add(text);
    }
    out.leave();
}

void print_json_text(std::string_view text, bool ascii, Printer& out) {
    std::string quoted = "\"";
    const auto escape = [&](unsigned unit) {
        quoted += "\\u";
        for (int shift = 12; shift >= 0; shift -= 4) quoted += "0123456789abcdef"[(unit >> shift) & 15];
    };
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
        const char32_t code = code_point_at(text, at);
        constexpr std::string_view kPlain = "\"\\\n\r\t\f\b";
        constexpr std::string_view kLetters = "\"\\nrtfb";
        if (const auto i = code < 0x80 ? kPlain.find(static_cast<char>(code)) : std::string_view::npos;
            i != std::string_view::npos) {
            quoted += '\\';
            quoted += kLetters[i];
        } else if (code < 0x20 || (ascii && code >= 0x7F && code < 0x10000)) {
            escape(static_cast<unsigned>(code));
        } else if (ascii && code >= 0x10000) {
            escape(0xD800 + (static_cast<unsigned>(code - 0x10000) >> 10));
            escape(0xDC00 + (static_cast<unsigned>(code - 0x10000) & 0x3FF));
        } else {
            quoted += text.substr(at, utf8_length(text[at]));
        }
    }
    out.add(quoted + '"');
}

struct JsonStyle {
    bool ascii = false;
    bool sorted = false;
    bool lines = false;  ///< one value a line
    std::string indent = {};
    std::string comma = ", ";
    std::string colon = ": ";
};

/// A number, true, false or null; also as a key.
std::string json_scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (value.is_bool()) return value.as_int() != 0 ? "true" : "false";
    if (value.is_int()) return cat(value.as_int());
    if (value.is_real()) {
        const double number = value.as_real();
        if (std::isnan(number)) return "NaN";
        return std::isinf(number) ? (number < 0 ? "-Infinity" : "Infinity") : python::repr(number);
    }
    refuse(cat("a ", type_name(value), " as JSON"));
}

void print_json(const Value& value, const JsonStyle& style, const std::string& line, Printer& out) {
    out.budget().step();
    if (value.is_text()) out.budget().walk(value.text().size());
    if (value.is_text()) return print_json_text(value.text(), style.ascii, out);
    const List* list = value.list();
    const Dict* dict = value.dict();
    if (list != nullptr && list->kind > List::Kind::tuple) refuse(cat("a ", type_name(value), " as JSON"));
    if (list == nullptr && dict == nullptr) return out.add(json_scalar(value));
    const std::size_t size = list != nullptr ? list->items.size() : dict->entries.size();
    if (size == 0) return out.add(list != nullptr ? "[]" : "{}");
    if (style.lines) out.budget().make(line.size() + style.indent.size());
    const std::string inner = style.lines ? line + style.indent : "";
    out.add(list != nullptr ? "[" : "{");
    Entries sorted;
    if (dict != nullptr && style.sorted) sort_by_key(sorted = dict->entries, out.budget());
    const Entries& entries = dict == nullptr || style.sorted ? sorted : dict->entries;
    for (std::size_t i = 0; i < size; ++i) {
        if (i > 0) out.add(style.comma);
        if (style.lines) out.add(inner);
        if (list != nullptr) {
            print_json(list->items[i], style, inner, out);
            continue;
        }
        const Value& key = entries[i].first;
        print_json_text(key.is_text() ? key.text() : json_scalar(key), style.ascii, out);
        out.add(style.colon);
        print_json(entries[i].second, style, inner, out);
    }
    if (style.lines) out.add(line);
    out.add(list != nullptr ? "]" : "}");
}

}  // namespace

std::string to_repr(const Value& value, Budget& budget) {
    Printer out(budget);
    print(value, out);
    return out.take();
}

std::string to_text(const Value& value, Budget& budget) {
    if (value.is_undefined()) return "";
    if (!value.is_text()) return to_repr(value, budget);
    budget.make(value.text().size());
    return value.text();
}

/// transformers' tojson: json.dumps, with ensure_ascii=False by default.
Value to_json(const Value& value, const Arguments& arguments, Budget& budget) {
    const Bound bound(arguments, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
    JsonStyle style;
    style.ascii = bound.truth(0, false);
    style.sorted = bound.truth(3, false);
    style.lines = bound.has(1) && !bound[1].is_none();
    if (style.lines) {
        style.comma = ",";
        if (bound[1].is_text()) {
            style.indent = bound[1].text();
        } else {
            const std::int64_t width = std::max<std::int64_t>(bound.integer(1, 0), 0);
            budget.make(static_cast<std::size_t>(std::min<std::int64_t>(width, 1 << 30)));
            style.indent = std::string(static_cast<std::size_t>(width), ' ');
        }
    }
    if (bound.has(2) && !bound[2].is_none()) {
        const Values pair = iterate(bound[2], budget);
        if (pair.size() != 2 || !pair[0].is_text() || !pair[1].is_text())
            refuse("separators of tojson that aren't two");
        style.comma = pair[0].text();
        style.colon = pair[1].text();
    }
    Printer out(budget);
    print_json(value, style, "\n", out);
    return out.take();
}

}  // namespace tdrm::text::jinja
