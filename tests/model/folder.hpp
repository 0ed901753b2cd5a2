// A copy of a tiny model's folder to be changed, and what reading it says.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {

namespace fs = std::filesystem;
using nlohmann::json;
inline const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/model/data";

inline json read(const fs::path& path) { return json::parse(std::ifstream(path)); }

inline Model load_pretrained(const fs::path& folder) {
    const Pretrained source(folder);
    Model model(source.spec());
    EXPECT_TRUE(deliver(source, model.layout().tensors, model.sink()).empty());
    return model;
}

class Folder : public testing::Test {
protected:
    fs::path folder = fs::path(testing::TempDir()) / "tdrm_pretrained_test";
    void SetUp() override { TearDown(); }
    void TearDown() override { fs::remove_all(folder); }

    void copy(const char* name) { fs::copy(kData / name, folder); }
    void change(const std::string& file, const std::string& key, const json& value) const {
        json content = read(folder / file);
        if (value.is_null()) {
            content.erase(key);
        } else {
            content[key] = value;
        }
        std::ofstream(folder / file) << content.dump();
    }
    void change_config(const std::string& key, const json& value) const { change("config.json", key, value); }

    /// Writes model.safetensors again, each tensor under the name that `name_of` gives it; "" leaves it out.
    void rename_tensors(const std::function<std::string(const std::string&)>& name_of) const {
        const SafetensorsFile file(folder / "model.safetensors");
        std::vector<NamedTensor> tensors;
        std::map<std::string, std::vector<float>> values;
        for (const auto& [name, stored] : file.tensors()) {
            auto& numbers = values[name];
            numbers.resize(stored.size);
            file.read(name, 0, numbers);
            if (const std::string renamed = name_of(name); !renamed.empty())
                tensors.push_back({renamed, stored.shape, [&numbers](std::int64_t first, std::span<float> out) {
                                       std::copy_n(numbers.begin() + first, out.size(), out.begin());
                                   }});
        }
        write_safetensors(folder / "model.safetensors", tensors, Dtype::f32);
    }

    std::string problem() const {
        try {
            (void)load_pretrained(folder);
            return "";
        } catch (const DataError& error) {
            return error.what();
        }
    }
    void says(const std::string& words) const {
        EXPECT_NE(problem().find(words), std::string::npos) << words << " isn't in: " << problem();
    }
};

inline void expect_equal(const Model& a, const Model& b, const std::string& what) {
    ASSERT_EQ(a.spec(), b.spec()) << what;
    EXPECT_EQ(0, std::memcmp(a.values().data(), b.values().data(), a.values().size_bytes())) << what;
}

}  // namespace tdrm::model
