#include "tdrm/store/table.hpp"

#include <algorithm>
#include <type_traits>

#include "tdrm/base/errors.hpp"

namespace tdrm::store {
namespace {

void check_offsets(const std::vector<std::int64_t>& offsets) {
    if (offsets.empty()) return;
    if (offsets.front() != 0 || !std::is_sorted(offsets.begin(), offsets.end())) {
        throw DataError("ragged offsets must begin with 0 and not decrease (else rows would overlap).");
    }
}

bool is_offset(std::string_view name) { return name.ends_with("_offset"); }

}  // namespace

void append_offsets(std::vector<std::int64_t>& offsets, const std::vector<std::int64_t>& more) {
    check_offsets(offsets);
    check_offsets(more);
    if (offsets.empty()) offsets.push_back(0);
    const std::int64_t end = offsets.back();
    for (std::size_t i = 1; i < more.size(); ++i) offsets.push_back(end + more[i]);
}

const Column& Columns::column(std::string_view name) const {
    const auto found = columns_.find(std::string(name));
    if (found == columns_.end()) throw DataError(cat("the table has no column ", name, "."));
    return found->second;
}

void Columns::throw_type(std::string_view name) { throw DataError(cat("column ", name, " has another element type.")); }

void Columns::append(const Columns& other) {
    if (empty()) {
        columns_ = other.columns_;
        return;
    }
    const auto alike = [](const auto& a, const auto& b) {
        return a.first == b.first && a.second.index() == b.second.index();
    };
    if (!std::equal(columns_.begin(), columns_.end(), other.columns_.begin(), other.columns_.end(), alike)) {
        throw DataError("tables with different columns can't be joined. Were the parts written by different versions?");
    }
    std::map<std::string, Column> joined = columns_;
    for (auto& [name, column] : joined) {
        std::visit(
            [&, &key = name](auto& values) {
                using Values = std::decay_t<decltype(values)>;
                const auto& more = std::get<Values>(other.columns_.at(key));
                if constexpr (std::is_same_v<Values, std::vector<std::int64_t>>) {
                    if (is_offset(key)) return append_offsets(values, more);
                }
                values.insert(values.end(), more.begin(), more.end());
            },
            column);
    }
    columns_ = std::move(joined);
}

void Columns::write(FileWriter& file, std::string_view group) const {
    for (const auto& [name, column] : columns_) {
        const std::string path = cat(group, "/", name);
        std::visit(
            [&](const auto& values) {
                using Values = std::decay_t<decltype(values)>;
                if constexpr (std::is_same_v<Values, std::vector<std::string>>) {
                    file.write_strings(path, values);
                } else {
                    file.write(path, values);
                }
            },
            column);
    }
}

Columns Columns::read(const FileReader& file, std::string_view group) {
    Columns columns;
    for (const std::string& name : file.names(group)) {
        const std::string path = cat(group, "/", name);
        switch (file.type(path)) {
            case Type::uint8:
                columns.set(name, file.read<std::uint8_t>(path));
                break;
            case Type::int32:
                columns.set(name, file.read<std::int32_t>(path));
                break;
            case Type::int64:
                columns.set(name, file.read<std::int64_t>(path));
                break;
            case Type::float32:
                columns.set(name, file.read<float>(path));
                break;
            case Type::float64:
                columns.set(name, file.read<double>(path));
                break;
            case Type::text:
                columns.set(name, file.read_strings(path));
                break;
            default:
                throw DataError(cat(path, " has an element type that tables don't use."));
        }
    }
    return columns;
}

}  // namespace tdrm::store
