#include "tdrm/math/expression.hpp"

namespace tdrm::math {

Expression make_number(mpq_class value, bool inexact) {
    Expression result;
    result.number = std::make_shared<const mpq_class>(std::move(value));
    result.inexact = inexact;
    return result;
}

Expression make(Kind kind, std::string name, std::vector<Expression> args) {
    Expression result;
    result.kind = kind;
    result.name = std::move(name);
    result.args = std::move(args);
    return result;
}

Expression make(Kind kind, std::vector<Expression> args) { return make(kind, {}, std::move(args)); }

namespace {

std::string joined(const Expression& e, std::string_view separator) {
    std::string text;
    for (std::size_t i = 0; i < e.args.size(); ++i) {
        if (i > 0) text += separator;
        text += to_text(e.args[i]);
    }
    return text;
}

std::string relation_text(const Expression& e) {
    std::string text = to_text(e.args[0]);
    for (std::size_t i = 1; i < e.args.size(); ++i) {
        switch (e.name[i - 1]) {
            case 'l':
                text += " <= ";
                break;
            case 'g':
                text += " >= ";
                break;
            case 'n':
                text += " != ";
                break;
            case 'a':
                text += " ~ ";
                break;
            case 't':
                text += " -> ";
                break;
            case 'T':
                text += " => ";
                break;
            case 's':
                text += " subset ";
                break;
            case 'i':
                text += " in ";
                break;
            case 'o':
                text += " not in ";
                break;
            default:
                text += std::string(" ") + e.name[i - 1] + " ";
        }
        text += to_text(e.args[i]);
    }
    return text;
}

}  // namespace

std::string to_text(const Expression& e) {
    switch (e.kind) {
        case Kind::number:
            return mpz_sizeinbase(e.value().get_num_mpz_t(), 2) > 4096 ? "huge" : e.value().get_str();
        case Kind::symbol:
        case Kind::constant:
            return e.name;
        case Kind::add:
            return "(" + joined(e, " + ") + ")";
        case Kind::multiply:
            return "(" + joined(e, "*") + ")";
        case Kind::divide:
            return "(" + joined(e, "/") + ")";
        case Kind::power:
            return joined(e, "^");
        case Kind::negate:
            return "-" + joined(e, "");
        case Kind::plus_minus:
            return (e.name == "+" ? "+-" : "-+") + joined(e, "");
        case Kind::percent:
            return joined(e, "") + "%";
        case Kind::degree:
            return joined(e, "") + " deg";
        case Kind::call:
            return e.name + "(" + joined(e, ", ") + ")";
        case Kind::unit:
            return joined(e, "") + " [" + e.name + "]";
        case Kind::ratio:
            return joined(e, ":");
        case Kind::list:
            return joined(e, e.name == "," ? ", " : " " + e.name + " ");
        case Kind::set:
            return "{" + joined(e, ", ") + "}";
        case Kind::tuple:
            return e.name.substr(0, 1) + joined(e, ", ") + e.name.substr(1);
        case Kind::set_union:
            return joined(e, " union ");
        case Kind::intersection:
            return joined(e, " intersect ");
        case Kind::difference:
            return joined(e, " minus ");
        case Kind::relation:
            return relation_text(e);
        case Kind::matrix:
            return "matrix[" + joined(e, "; ") + "]";
    }
    return {};
}

}  // namespace tdrm::math
