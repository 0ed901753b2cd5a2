// What the program writes about its own command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace tdrm::app {

/// The verbs that help shows.
[[nodiscard]] std::vector<const CLI::App*> shown_verbs(const CLI::App& app);

/// The manual page (man 7 man): all verbs with their options, all options of a run file, examples, exit codes.
/// @param examples lines as they are
[[nodiscard]] std::string manual_page(const CLI::App& app, const std::string& examples, const std::string& exit_codes);

/// A script for bash >= 4.4 that completes verbs, their options, keys of `explain` and of `--set`, and files.
[[nodiscard]] std::string bash_completion(const CLI::App& app);

}  // namespace tdrm::app
