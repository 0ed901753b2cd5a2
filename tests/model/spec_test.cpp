#include "folder.hpp"

namespace tdrm::model {
namespace {

TEST(SpecAsJson, ReadsBackForEveryFamily) {
    for (const auto& entry : fs::directory_iterator(kData)) {
        if (!fs::exists(entry.path() / "config.json")) continue;
        ModelSpec spec = Pretrained(entry.path()).spec();
        spec.value_head = {};  // commits hold heads of one row only
        const json stored = json_of_spec(spec);
        EXPECT_EQ(spec_of_json(json::parse(stored.dump())), spec) << entry.path() << stored;
    }
    ModelSpec odd;
    odd.vocab = 7;
    odd.norm_eps = 1.5625e-07;
    odd.rope_theta = 1.0 / 3 + 1e9;
    odd.attention_scale = std::sqrt(0.1);
    EXPECT_EQ(spec_of_json(json_of_spec(odd.resolved())), odd.resolved());
}

TEST(SpecAsJson, OfEarlierCommitsIsReadToo) {
    const json before =
        json::parse(R"({"family":"mistral","ffn":192,"head":"value","head_dim":32,"heads":2,"kv_heads":2,
        "layers":2,"max_positions":32,"norm_eps":1e-05,"output_bias":false,"qkv_bias":false,"rope_scaling":[8.0,1.0,4.0,64],
        "rope_theta":10000.0,"rotary_dim":32,"tied":false,"vocab":34,"width":64,"window":20})");
    const ModelSpec spec = spec_of_json(before);
    EXPECT_EQ(spec.rope_scaling, (RopeScaling{.kind = RopeKind::llama3, .factor = 8, .original_positions = 64}));
    EXPECT_EQ(spec.window_of(1), 20);
    EXPECT_EQ(spec.head, Head::value);
    json plain = before;
    plain["rope_scaling"] = {1.0, 1.0, 4.0, 8192};
    EXPECT_EQ(spec_of_json(plain).rope_scaling, RopeScaling{});
    const json first = json::parse(R"({"vocab":34,"layers":2,"width":64,"heads":2,"kv_heads":2,"head_dim":32,"ffn":192,
        "rope_theta":10000.0,"norm_eps":1e-05,"tied":false,"head":"language"})");
    EXPECT_EQ(spec_of_json(first).rotary_dim, 32);
}

TEST(SpecAsJson, OfALaterVersionIsAnError) {
    ModelSpec spec;
    spec.vocab = 7;
    json later = json_of_spec(spec.resolved());
    for (const auto& [key, value] :
         std::map<std::string, json>{{"new_feature", true}, {"family", "qwen9"}, {"width", "big"}}) {
        json changed = later;
        changed[key] = value;
        EXPECT_THROW((void)spec_of_json(changed), DataError) << key;
    }
    EXPECT_THROW((void)spec_of_json(json::array()), DataError);
}

TEST(Families, StandInTheOrderOfTheirEnumeration) {
    for (std::size_t i = 0; i < kFamilies.size(); ++i) EXPECT_EQ(static_cast<std::size_t>(kFamilies[i].family), i);
}

}  // namespace
}  // namespace tdrm::model
