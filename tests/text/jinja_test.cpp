// Templates against transformers and Jinja2: tests/text/data/chat holds what they rendered
// (tools/fixtures/make_chat_cases.py).
#include "../../src/text/jinja.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tdrm/base/errors.hpp"

namespace tdrm::text {
namespace {

using jinja::Json;
namespace fs = std::filesystem;

const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/text/data/chat";

Json read_json(const std::string& name) {
    std::ifstream file(kData / name);
    return Json::parse(file);
}

std::string render(const std::string& source, const Json& context = Json::object()) {
    return jinja::render(jinja::parse(source), context);
}

/// The text, or null for a refusal, as the fixtures write it.
Json rendered(const std::string& source, const Json& context, std::string& message) {
    try {
        return render(source, context);
    } catch (const DataError& error) {
        message = error.what();
        return nullptr;
    }
}

std::string error_of(const std::string& source, const Json& context = Json::object()) {
    std::string message = "no error";
    (void)rendered(source, context, message);
    return message;
}

TEST(Jinja, RendersTemplatesInTheStylesOfModelFamiliesAsTransformersDoes) {
    const Json data = read_json("styles.json");
    EXPECT_GE(data.at("templates").size(), 150u);
    for (const Json& row : data.at("templates")) {
        std::size_t i = 0;
        for (const Json& talk : data.at("talks")) {
            for (const bool generate : {false, true}) {
                Json context = talk.at("variables");
                context["messages"] = talk.at("messages");
                context["add_generation_prompt"] = generate;
                std::string message;
                EXPECT_EQ(rendered(row.at("template"), context, message), row.at("texts").at(i++))
                    << row.at("name") << " talk " << (i - 1) / 2 << ' ' << message;
            }
        }
    }
}

TEST(Jinja, RendersEveryConstructAsJinja2DoesAndRefusesWhatItRefuses) {
    const Json data = read_json("constructs.json");
    for (const Json& row : data.at("templates")) {
        std::string message;
        EXPECT_EQ(rendered(row.at("template"), data.at("variables"), message), row.at("text"))
            << row.at("template") << ' ' << message;
    }
}

TEST(Jinja, RendersRandomTemplatesAsJinja2Does) {
    int refused = 0;
    for (const Json& row : read_json("jinja.json")) {
        std::string message;
        EXPECT_EQ(rendered(row.at("template"), {{"messages", row.at("messages")}}, message), row.at("text"))
            << row.at("template") << message;
        refused += row.at("text").is_null() ? 1 : 0;
    }
    EXPECT_LT(refused, 100);
}

TEST(Jinja, NamesWhatItDoesNotKnowOnlyWhenItIsReached) {
    EXPECT_EQ(
        render("{% if false %}{{ x | pprint }}{{ today() }}{% include 'x' %}{% trans %}a{% endtrans %}{% endif %}ok"),
        "ok");
    for (const auto& [source, part] :
         std::vector<std::pair<std::string, std::string>>{{"{{ 'a' | pprint }}", "pprint"},
                                                          {"{{ today() }}", "today"},
                                                          {"{{ 'a'.encode() }}", "encode"},
                                                          {"{% include 'x' %}", "include"},
                                                          {"{{ missing.part }}", "undefined"},
                                                          {"{{ 1 + 'a' }}", "operator +"},
                                                          {"{{ 'a' is prime }}", "prime"},
                                                          {"{% if %}", "name"},
                                                          {"{% for x in [1] %}", "endfor"},
                                                          {"{{ 'a }}", "unclosed"},
                                                          {"{{ 1 // 0 }}", "zero"},
                                                          {"{{ 'a'.startswith() }}", "argument"},
                                                          {"{% set a.b = 1 %}", "a.b"},
                                                          {"{{ 9223372036854775807 + 1 }}", "63 bits"},
                                                          {"{{ 99999999999999999999 }}", "63 bits"},
                                                          {"{{ '\\ud83d' }}", "escape"},
                                                          {"{{ raise_exception('no system') }}", "no system"}}) {
        EXPECT_NE(error_of(source).find(part), std::string::npos) << source << error_of(source);
    }
}

/// As `piece`, `count` times.
std::string times(const std::string& piece, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += piece;
    return text;
}

TEST(Jinja, NestsOnlyAsDeepAsRealTemplatesDo) {
    constexpr int kMany = 20'000;
    const auto expression = [](const std::string& text) { return "{{ " + text + " }}"; };
    for (const std::string& source :
         std::vector<std::string>{expression(times("(", kMany)),
                                  expression(times("[", kMany)),
                                  expression(times("{1:", kMany)),
                                  expression(times("not ", kMany) + "1"),
                                  expression(times("- ", kMany) + "1"),
                                  expression(times("+ ", kMany) + "1"),
                                  expression("1" + times("+1", kMany)),
                                  expression("1" + times("-1", kMany)),
                                  expression("1" + times("*1", kMany)),
                                  expression("1" + times("**1", kMany)),
                                  expression("a" + times(".a", kMany)),
                                  expression("a" + times("[0]", kMany)),
                                  expression("a" + times("()", kMany)),
                                  expression("''" + times("|trim", kMany)),
                                  expression("1" + times(" is defined", kMany)),
                                  expression("1" + times(" and 1", kMany)),
                                  expression("1" + times(" or 1", kMany)),
                                  expression(times("1 if 1 else ", kMany) + "1"),
                                  expression("1" + times(" if 1", kMany)),
                                  expression(times("a[", kMany)),
                                  expression(times("a(", kMany)),
                                  expression(times("a|b(", kMany)),
                                  expression(times("a is b(", kMany)),
                                  "{% set " + times("(", kMany),
                                  "{% for " + times("(", kMany),
                                  times("{% if 1 %}", kMany),
                                  times("{% for x in [1] %}", kMany),
                                  times("{% macro f() %}", kMany),
                                  times("{% set x %}", kMany),
                                  times("{% filter trim %}", kMany),
                                  times("{% with %}", kMany),
                                  times("{% call f() %}", kMany),
                                  times("{% block a %}", kMany),
                                  times("{% generation %}", kMany),
                                  "{% filter trim" + times("|trim", kMany) + " %}x{% endfilter %}"}) {
        EXPECT_NE(error_of(source), "no error") << source.substr(0, 40);
    }
    for (const char* link : {"not ", "- ", "1+", "1 and ", "a.", "a|trim|", "1 if 1 else "})
        EXPECT_NE(error_of(expression(times(link, 10 * kMany) + "a")), "no error") << link;
    // Chains that don't nest work at any length.
    EXPECT_EQ(render(expression("'a'" + times("~'a'", kMany))).size(), kMany + 1u);
    EXPECT_EQ(render(expression("1" + times("<=1", kMany))), "True");
    EXPECT_EQ(render(expression("['a'" + times(",'a'", kMany) + "]|length")), std::to_string(kMany + 1));
    EXPECT_EQ(render(expression("'a'" + times(" 'a'", kMany) + "|length")), std::to_string(kMany + 1));
    EXPECT_EQ(render("{% if 0 %}" + times("{% elif 0 %}", kMany) + "{% else %}x{% endif %}"), "x");
    EXPECT_EQ(render(times("{{ 1 }}", kMany)).size(), static_cast<std::size_t>(kMany));
    // So do those of a length that real templates have.
    EXPECT_EQ(render(expression("1" + times("+1", 200))), "201");
    EXPECT_EQ(render(expression(times("not ", 200) + "1")), "True");
    EXPECT_EQ(render(expression("' a '" + times("|trim", 200))), "a");
    EXPECT_EQ(render(expression(times("(", 60) + "1" + times(")", 60))), "1");
}

TEST(Jinja, BoundsTheDepthOfValuesAndCalls) {
    for (const char* source :
         {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
          "{% macro f() %}{{ caller() }}{% call f() %}{{ f() }}{% endcall %}{% endmacro %}{% call f() %}{% endcall %}",
          "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
          "{% set ns = namespace(x={}) %}{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
          "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = (ns.x, ) %}{% endfor %}",
          "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = ns.x | batch(1) %}{% endfor %}",
          "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = cycler(ns.x) %}{% endfor %}",
          "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
          "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}"}) {
        EXPECT_NE(error_of(source), "no error") << source;
    }
    // What holds itself leaves no memory behind (the sanitizers look).
    EXPECT_EQ(
        render("{% set ns = namespace() %}{% set ns.x = [ns, ns] %}{% macro f() %}{{ f is defined }}{% endmacro %}"
               "{% set ns.f = f %}{% for x in [1] %}{% set ns.l = loop %}{{ loop.changed(loop) }}{% endfor %}{{ ns.f() "
               "}}"),
        "TrueTrue");
    Json deep = 1;
    for (int i = 0; i < 500; ++i) deep = Json::array({deep});
    EXPECT_NE(error_of("{{ x }}", {{"x", deep}}), "no error");
}

TEST(Jinja, StopsTemplatesThatTakeTooLongOrTooMuch) {
    const std::string twice = "{% for i in range(60) %}";
    const std::string n = "{% set n = namespace(x='ab', l=[1, 2], e=[1, 2]) %}";
    const std::string far = "{% for i in range(100000) %}";
    for (const std::string& source : std::vector<std::string>{
             n + twice + "{% set n.x = n.x + n.x %}{% endfor %}",
             n + twice + "{% set n.x = n.x ~ n.x %}{% endfor %}",
             n + twice + "{% set n.x = n.x * 2 %}{% endfor %}",
             n + twice + "{% set n.l = n.l + n.l %}{% endfor %}",
             n + twice + "{% set n.l = n.l * 2 %}{% endfor %}",
             n + twice + "{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
             n + twice + "{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | tojson }}",
             n + twice + "{% set n.l = [n.l, n.l] %}{% set n.e = [n.e, n.e] %}{% endfor %}{{ n.l == n.e }}",
             n + twice + "{% set n.x = n.x.replace('', n.x) %}{% endfor %}",
             n + twice + "{% set n.x = n.x | replace('a', n.x) %}{% endfor %}",
             n + twice + "{% set n.x = n.x.join(n.x) %}{% endfor %}",
             n + twice + "{% set n.x = [n.x, n.x] | join %}{% endfor %}",
             n + twice + "{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
             n + twice + "{% set n.x = '%s%s' % (n.x, n.x) %}{% endfor %}",
             n + twice + "{% set n.x = '{0}{0}'.format(n.x) %}{% endfor %}",
             n + twice + "{% set n.x = ('a\n' * 100) | indent(1000000) %}{% endfor %}",
             n + twice + "{{ [1, [2, [3]]] | tojson(indent=100000000) }}{% endfor %}",
             far + far + "x{% endfor %}{% endfor %}",
             far + far + "{% endfor %}{% endfor %}",
             far + "{{ range(100000) | list | length }}{% endfor %}",
             far + "{% set y = range(100000)[::-1] %}{% endfor %}",
             far + "{% set y = messages[1:] %}{% endfor %}",
             far + "{{ messages | length }}{{ messages | sort | first }}{% endfor %}",
             far + "{% set y = text.upper() %}{% endfor %}",
             far + "{% if 'z' in text %}{% endif %}{% endfor %}",
             far + "{% if text.endswith(text) and text == text ~ '' %}{% endif %}{% endfor %}",
             far + "{{ text | length }}{% endfor %}",
             far + "{{ text[99999] }}{% endfor %}",
             far + "{{ text.count('aa') }}{{ text.find('b') }}{% endfor %}",
             far + "{{ text.split('a') | length }}{% endfor %}",
             far + "{{ text | trim | wordcount }}{% endfor %}",
             far + "{{ text.strip(text) }}{% endfor %}",
             far + "{% for c in text %}{% endfor %}{% endfor %}",
             far + "{{ text | reverse }}{% endfor %}",
             far + "{% set y = namespace() %}{% macro f() %}{% endmacro %}{% endfor %}" + far + far +
                 "{% endfor %}{% endfor %}",
             "{{ messages | unique | list | length }}",
             "{{ 'a' * 10000000000 }}",
             "{{ 'a'.ljust(10000000000) }}",
             "{{ 'a'.center(9223372036854775807) }}",
             "{{ '%1000000s' % 'a' }}" + times("{{ '%1000000s' % 'a' }}", 400),
             "{{ [1] * 9223372036854775807 }}",
             "{{ 'a' | center(10000000000) }}",
             "{{ '\t'.expandtabs(10000000000) }}",
             "{{ [1] | batch(1000000, 'x') | list }}" + times("{{ [1] | batch(1000000, 'x') | list }}", 100),
             "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}"}) {
        Json many = Json::array();
        for (int i = 0; i < 20'000; ++i) many.push_back(i * 7919 % 20011);
        const Json context = {{"messages", many}, {"text", std::string(100'000, 'a')}};
        EXPECT_NE(error_of(source, context), "no error") << source.substr(0, 200);
    }
}

TEST(Jinja, DoesWhatLongConversationsNeed) {
    Json messages = Json::array();
    for (int i = 0; i < 400; ++i)
        messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", times("a", 2000) + "</think>b"}});
    const std::string text = render(
        "{% set ns = namespace(text='') %}{% for m in messages %}{% if '</think>' in m.content %}"
        "{% set c = m.content.split('</think>')[-1] %}{% endif %}{% for n in messages[:loop.index] %}"
        "{% if n.role == 'user' and loop.last %}u{% endif %}{% endfor %}{% set ns.text = ns.text + m.content[:500] | "
        "trim + '\\n' %}{% endfor %}{{ ns.text }}",
        {{"messages", messages}});
    EXPECT_GT(text.size(), 200'000u);
}

}  // namespace
}  // namespace tdrm::text
