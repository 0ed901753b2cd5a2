// Jinja, the template language of chat templates, rendered as transformers renders it: an immutable sandbox with
// trim_blocks, lstrip_blocks, loop controls and {% generation %}. What isn't known is an error when it is reached,
// never another text. Templates are foreign: depth, steps and memory are bounded.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "jinja_ast.hpp"
#include "jinja_value.hpp"

namespace tdrm::text::jinja {

/// @throws DataError if the source isn't a template, or nests deeper than any real one.
[[nodiscard]] Template parse(std::string_view source);

/// `context`: the variables, a map. `date`: what strftime_now takes for today, 2024-07-26 or 26 Jul 2024.
/// @throws DataError if the template raises an exception, reaches something unknown, or does too much.
[[nodiscard]] std::string render(const Template& parsed, const Json& context, const std::string& date = "2024-07-26");

}  // namespace tdrm::text::jinja
