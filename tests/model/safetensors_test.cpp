#include "tdrm/model/safetensors.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::model {
namespace {

namespace fs = std::filesystem;

const std::string kGood =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]}})";

std::string problem(const std::string& header, std::uint64_t size = 28) {
    try {
        (void)parse_safetensors_header(header, 0, size, "x.safetensors");
        return "";
    } catch (const DataError& error) {
        return error.what();
    }
}

TEST(SafetensorsHeader, PlacesTensorsBehindTheHeader) {
    const auto tensors = parse_safetensors_header(kGood, 1000, 28, "x");
    EXPECT_EQ(tensors.at("a"), (StoredTensor{"F32", {2, 3}, 1000, 6}));
    EXPECT_EQ(tensors.at("b"), (StoredTensor{"BF16", {2}, 1024, 2}));
    EXPECT_EQ(problem(R"({"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4), "");
    EXPECT_EQ(problem(R"({"empty":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}})", 0), "");
}

TEST(SafetensorsHeader, NamesWhatIsWrong) {
    const auto says = [](const std::string& header, const std::string& words, std::uint64_t size = 28) {
        EXPECT_NE(problem(header, size).find(words), std::string::npos) << header << " says: " << problem(header, size);
    };
    const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
        return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
    };
    says("", "isn't a JSON object");
    says("[]", "isn't a JSON object");
    says(kGood.substr(0, 60), "isn't a JSON object");
    says("{\"\xff\":{}}", "isn't a JSON object");
    says(R"({"t":7})", "lacks dtype");
    says(one("\"F31\"", "[7]", "[0,28]"), "unknown dtype F31");
    says(one("3", "[7]", "[0,28]"), "dtype that is no text");
    says(one("\"F32\"", "[-7]", "[0,28]"), "isn't a list of sizes");
    says(one("\"F32\"", "[7.0]", "[0,28]"), "isn't a list of sizes");
    says(one("\"F32\"", "[7]", "[0]"), "aren't two positions");
    says(one("\"F32\"", "[7]", "[-1,28]"), "aren't two positions");
    says(one("\"F32\"", "[7]", "[28,0]"), "lies at 28 to 0");
    says(one("\"F32\"", "[8]", "[0,32]"), "is the file cut off?");
    says(one("\"F32\"", "[6]", "[0,28]"), "has 28 bytes");
    // Sizes whose product wraps around to the right one.
    says(one("\"F32\"", "[4611686018427387905,4]", "[0,16]"), "has 16 bytes", 16);
    says(one("\"U8\"", "[4294967296,4294967296]", "[0,0]"), "has 0 bytes", 0);
    says(one("\"F32\"", "[18446744073709551615]", "[0,28]"), "beyond 2^63");
    says(one("\"F32\"", "[6]", "[4,28]"), "leave a gap");
    says(one("\"F32\"", "[6]", "[0,24]"), "end at byte 24 of 28");
    says(
        R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[12,28]}})",
        "overlap");
}

TEST(SafetensorsHeader, MutationsAreReadOrRefusedButNeverCrash) {
    const char* wanted = std::getenv("TDRM_FUZZ_ROUNDS");
    const std::uint64_t rounds = wanted ? std::strtoull(wanted, nullptr, 10) : 20'000;
    Random random(random_key(5, "mutations"));
    std::uint64_t accepted = 0;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        std::string header = kGood;
        const auto edits = 1 + random.next_below(4);
        for (std::uint64_t e = 0; e < edits; ++e) {
            const auto at = random.next_below(header.size());
            switch (random.next_below(4)) {
                case 0:
                    header[at] = static_cast<char>(random.next_below(256));
                    break;
                case 1:
                    header.erase(at, 1 + random.next_below(5));
                    break;
                case 2:
                    header.insert(at, 1 + random.next_below(3), "0123456789[]{},:\"-"[random.next_below(18)]);
                    break;
                default:
                    header.insert(at, header.substr(random.next_below(header.size()), random.next_below(30)));
                    break;
            }
        }
        try {
            const auto tensors = parse_safetensors_header(header, 8, 28, "x");
            ++accepted;
            for (const auto& [name, t] : tensors) ASSERT_LE(t.begin, 36U) << header;
        } catch (const DataError&) {
        }
    }
    EXPECT_GT(accepted, 0U);
    EXPECT_LT(accepted, rounds / 2);
}

class File : public testing::Test {
protected:
    fs::path path = fs::path(testing::TempDir()) / "tdrm_tensors.safetensors";
    void TearDown() override { fs::remove(path); }
    void write(const std::string& bytes) const { std::ofstream(path, std::ios::binary) << bytes; }
    static std::string length(std::uint64_t n) { return {reinterpret_cast<const char*>(&n), 8}; }
};

TEST_F(File, CutOrLyingAboutItsHeaderIsRefused) {
    const std::string whole = length(kGood.size()) + kGood + std::string(28, '\1');
    write(whole);
    EXPECT_NO_THROW(SafetensorsFile{path});
    for (const std::size_t kept :
         {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{50}, whole.size() - 28, whole.size() - 1}) {
        write(whole.substr(0, kept));
        EXPECT_THROW(SafetensorsFile{path}, DataError) << kept;
    }
    write(whole + "x");
    EXPECT_THROW(SafetensorsFile{path}, DataError);
    for (const std::uint64_t lie : {~std::uint64_t{0}, std::uint64_t{1} << 40U, whole.size() - 7}) {
        write(length(lie) + whole.substr(8));
        EXPECT_THROW(SafetensorsFile{path}, DataError) << lie;
    }
    EXPECT_THROW(SafetensorsFile{path / "no"}, IoError);
}

TEST_F(File, WrittenTensorsAreReadBackInAnyPart) {
    std::vector<float> values(300);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = std::ldexp(1.0F + static_cast<float>(i) / 256, static_cast<int>(i % 20) - 10);
    const auto from = [&](std::int64_t offset) {
        return [&values, offset](std::int64_t first, std::span<float> out) {
            std::copy_n(values.begin() + offset + first, out.size(), out.begin());
        };
    };
    const std::vector<NamedTensor> tensors{{"x", {10, 20}, from(0)}, {"y \"quoted\"", {100}, from(200)}};
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
        write_safetensors(path, tensors, dtype);
        const SafetensorsFile file(path);
        std::vector<float> back(57);
        file.read("x", 130, back);
        for (std::size_t i = 0; i < back.size(); ++i) {
            const float exact = values[130 + i];
            const float bound = dtype == Dtype::f32 ? 0 : exact * (dtype == Dtype::bf16 ? 1.0F / 256 : 1.0F / 2048);
            EXPECT_LE(std::abs(back[i] - exact), bound);
        }
        EXPECT_EQ(file.tensors().at("y \"quoted\"").shape, std::vector<std::int64_t>{100});
    }
}

TEST(Conversion, EveryHalfAndBfloatSurvivesTheWayThereAndBack) {
    for (const Dtype dtype : {Dtype::bf16, Dtype::f16})
        for (std::uint32_t bits = 0; bits < 65536; ++bits) {
            const auto in = static_cast<std::uint16_t>(bits);
            std::uint16_t out = 0;
            float x = 0;
            to_float(&x, reinterpret_cast<const std::byte*>(&in), 1, dtype);
            from_float(reinterpret_cast<std::byte*>(&out), &x, 1, dtype);
            if (std::isnan(x)) continue;
            ASSERT_EQ(in, out) << bits << " " << x;
        }
}

TEST(Conversion, RoundsToNearestEven) {
    const auto round = [](float x, Dtype dtype) {
        std::uint16_t bits = 0;
        float y = 0;
        from_float(reinterpret_cast<std::byte*>(&bits), &x, 1, dtype);
        to_float(&y, reinterpret_cast<const std::byte*>(&bits), 1, dtype);
        return y;
    };
    EXPECT_EQ(round(1.0F + 1.0F / 256, Dtype::bf16), 1.0F);  // a tie, to even
    EXPECT_EQ(round(1.0F + 3.0F / 256, Dtype::bf16), 1.0F + 4.0F / 256);
    EXPECT_EQ(round(1.0F + 1.0F / 2048, Dtype::f16), 1.0F);
    EXPECT_EQ(round(1.0F + 3.0F / 2048, Dtype::f16), 1.0F + 4.0F / 2048);
    EXPECT_EQ(round(65504.0F, Dtype::f16), 65504.0F);
    EXPECT_TRUE(std::isinf(round(65520.0F, Dtype::f16)));
    EXPECT_EQ(round(std::ldexp(1.0F, -25), Dtype::f16), 0.0F);
    EXPECT_EQ(round(std::ldexp(3.0F, -25), Dtype::f16), std::ldexp(4.0F, -25));
    EXPECT_TRUE(std::isnan(round(NAN, Dtype::f16)) && std::isnan(round(NAN, Dtype::bf16)));
}

}  // namespace
}  // namespace tdrm::model
