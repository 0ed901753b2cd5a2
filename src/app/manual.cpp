#include "manual.hpp"

#include <sstream>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::app {
namespace {

/// Text that roff prints as it is. A period or apostrophe at the start of a line would be a request.
std::string plain(const std::string& text) {
    std::string result;
    for (const char c : text) {
        const bool first = result.empty() || result.back() == '\n';
        if (first && (c == '.' || c == '\'')) result += "\\&";
        if (c == '\\') {
            result += "\\e";
        } else if (c == '-') {
            result += "\\-";
        } else {
            result += c;
        }
    }
    return result;
}

std::string bold(const std::string& text) { return "\\fB" + plain(text) + "\\fR"; }

std::string as_it_is(const std::string& text) { return ".nf\n" + plain(text) + "\n.fi\n"; }

/// One option or positional with its help.
std::string item(const CLI::Option& option) {
    std::string title =
        option.get_positional() ? "\\fI" + plain(option.get_name(true)) + "\\fR" : bold(option.get_name(false, true));
    if (!option.get_positional() && option.get_expected_max() > 0) title += " \\fI" + option.get_type_name() + "\\fR";
    return cat(".TP\n", title, "\n", plain(option.get_description()), "\n");
}

std::string usage(const CLI::App& verb) {
    std::string text = bold("tdrm " + verb.get_name()) + " [\\fIOPTIONS\\fR]";
    for (const CLI::Option* option : verb.get_options()) {
        if (!option->get_positional()) continue;
        const std::string word = "\\fI" + plain(option->get_name(true)) + "\\fR";
        text += option->get_required() ? " " + word : " [" + word + "]";
    }
    return text + "\n";
}

std::string verb_section(const CLI::App& verb) {
    std::string text = cat(".SS ", verb.get_name(), "\n", usage(verb), ".PP\n", plain(verb.get_description()), "\n");
    for (const CLI::Option* option : verb.get_options()) {
        if (option->get_name(false, true) != "-h,--help") text += item(*option);
    }
    const std::string footer = verb.get_footer();
    if (footer != verb.get_parent()->get_footer()) text += ".PP\n" + as_it_is(footer);
    return text;
}

std::string run_file_section() {
    std::string text = ".SH RUN FILE\n" + as_it_is(explanation(""));
    for (const std::string& key : explain_keys()) {
        if (key.find('.') == std::string::npos) text += cat(".SS ", key, "\n", as_it_is(explanation(key)));
    }
    return text;
}

}  // namespace

std::vector<const CLI::App*> shown_verbs(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* verb) { return !verb->get_group().empty(); });
}

std::string manual_page(const CLI::App& app, const std::string& examples, const std::string& exit_codes) {
    std::ostringstream page;
    page << ".TH TDRM 1\n.SH NAME\ntdrm \\- process reward models by temporal difference\n.SH SYNOPSIS\n";
    for (const CLI::App* verb : shown_verbs(app)) page << usage(*verb) << ".br\n";
    page << bold("tdrm --version") << "\n.SH DESCRIPTION\n" << plain(app.get_description()) << "\n.SH VERBS\n";
    for (const CLI::App* verb : shown_verbs(app)) page << verb_section(*verb);
    page << run_file_section() << ".SH EXAMPLES\n" << as_it_is(examples);
    page << ".SH EXIT STATUS\n" << as_it_is(exit_codes);
    return page.str();
}

}  // namespace tdrm::app
