// Tables in memory: what the parts of a map stage hold and what its merge joins in canonical order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tdrm/store/file.hpp"

namespace tdrm::store {

using Column = std::variant<std::vector<std::uint8_t>, std::vector<std::int32_t>, std::vector<std::int64_t>,
                            std::vector<float>, std::vector<double>, std::vector<std::string>>;

/// Appends ragged offsets (n + 1 entries, the first 0) to others, so that they go on where those end. Empty `offsets`
/// count as {0}. @throws DataError if either doesn't begin with 0 or decreases
void append_offsets(std::vector<std::int64_t>& offsets, const std::vector<std::int64_t>& more);

/// Named columns, ordered by name. Ragged data are a column `x_offset` (int64, n + 1 entries, the first 0) in one table
/// and flat columns in the same table or another: row i owns elements [x_offset[i], x_offset[i+1]). Copies are deep.
class Columns {
public:
    template <class T>
    void set(const std::string& name, std::vector<T> values) {
        columns_[name] = std::move(values);
    }
    /// @throws DataError if there is no such column or it has another type
    template <class T>
    [[nodiscard]] const std::vector<T>& get(std::string_view name) const {
        if (const auto* values = std::get_if<std::vector<T>>(&column(name))) return *values;
        throw_type(name);
    }
    template <class T>
    [[nodiscard]] std::vector<T>& get(std::string_view name) {
        return const_cast<std::vector<T>&>(std::as_const(*this).template get<T>(name));
    }
    [[nodiscard]] bool has(std::string_view name) const { return columns_.contains(std::string(name)); }
    [[nodiscard]] bool empty() const { return columns_.empty(); }
    [[nodiscard]] const std::map<std::string, Column>& all() const { return columns_; }

    /// Adds the rows of `other`, which has the same columns; columns named `..._offset` go on where ours end. A table
    /// without columns becomes a copy. @throws DataError if columns or types differ; nothing is changed then
    void append(const Columns& other);

    /// Writes each column as `group`/name. @throws IoError
    void write(FileWriter& file, std::string_view group) const;
    /// Reads all datasets directly in `group`. @throws DataError
    [[nodiscard]] static Columns read(const FileReader& file, std::string_view group);

private:
    [[nodiscard]] const Column& column(std::string_view name) const;
    [[noreturn]] static void throw_type(std::string_view name);
    std::map<std::string, Column> columns_;
};

}  // namespace tdrm::store
