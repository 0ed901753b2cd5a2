#include "tdrm/model/pretrained.hpp"

#include <cmath>
#include <cstring>
#include <numeric>

#include "folder.hpp"

namespace tdrm::model {
namespace {

WeightReader reader_of(const Model& model) {
    return [&model](std::int64_t first, std::span<float> out) {
        std::copy_n(model.values().begin() + first, out.size(), out.begin());
    };
}

/// One or two of each family, with reference.json and gradients.json.
constexpr std::array kFamilyModels{"qwen3",   "qwen3_window",  "smollm3",      "phi3",          "phi4_mini",
                                   "granite", "olmo2",         "olmo3",        "ministral",     "ministral3",
                                   "gemma3",  "gemma3_linear", "llama_linear", "llama_dynamic", "mistral_window"};

TEST_F(Folder, WrittenModelReadsBackWithTheSameSpecAndBits) {
    std::vector<const char*> names(kFamilyModels.begin(), kFamilyModels.end());
    for (const char* name : {"llama", "llama3", "llama3_v4", "qwen2", "qwen2_tied_v4", "glm4", "glm4_v4", "mistral",
                             "sequence_classifier"})
        names.push_back(name);
    for (const char* name : names)
        for (const std::uint64_t shard : {std::uint64_t{1} << 30U, std::uint64_t{30000}}) {
            TearDown();
            fs::create_directories(folder);
            const Model model = load_pretrained(kData / name);
            save_pretrained(model.spec(), reader_of(model), folder, Dtype::f32, {{"eos_token_id", 2}}, shard);
            const Model back = load_pretrained(folder);
            EXPECT_EQ(back.spec(), model.spec()) << name;
            ASSERT_EQ(back.num_parameters(), model.num_parameters());
            EXPECT_EQ(0, std::memcmp(back.values().data(), model.values().data(), model.values().size_bytes())) << name;
            EXPECT_EQ(read(folder / "config.json").at("eos_token_id"), 2);
        }
}

TEST_F(Folder, ConfigJsonAloneGivesAPlanTheSpecOfTheWeights) {
    std::vector<const char*> names(kFamilyModels.begin(), kFamilyModels.end());
    for (const char* name : {"llama", "llama3", "llama3_v4", "qwen2", "qwen2_tied_v4", "glm4", "glm4_v4", "mistral",
                             "sequence_classifier"})
        names.push_back(name);
    for (const char* name : names) {
        TearDown();
        fs::create_directories(folder);
        fs::copy_file(kData / name / "config.json", folder / "config.json");
        const PlannedModel planned(folder), whole(kData / name);
        EXPECT_EQ(planned.absent, (folder / "model.safetensors").string());
        EXPECT_EQ(whole.absent, "");
        EXPECT_EQ(whole.spec, Pretrained(kData / name).spec());
        ASSERT_TRUE(planned.spec.has_value());
        EXPECT_EQ(*planned.spec, *whole.spec) << name;
    }
    fs::remove(folder / "config.json");
    EXPECT_EQ(PlannedModel(folder).spec, std::nullopt);
    EXPECT_EQ(PlannedModel(folder).absent, (folder / "config.json").string());
}

TEST_F(Folder, BfloatModelExportsAsBfloatWithoutLoss) {
    fs::create_directories(folder);
    const Model model = load_pretrained(kData / "glm4_v4");
    save_pretrained(model.spec(), reader_of(model), folder, Dtype::bf16);
    const Model back = load_pretrained(folder);
    EXPECT_EQ(0, std::memcmp(back.values().data(), model.values().data(), model.values().size_bytes()));
}

TEST_F(Folder, PartsOfTheFlatBufferEqualTheWhole) {
    const Pretrained source(kData / "qwen2");
    const Model model = load_pretrained(kData / "qwen2");
    for (const std::int64_t step : {std::int64_t{777}, std::int64_t{5000}})
        for (std::int64_t first = 0; first < model.num_parameters(); first += step) {
            std::vector<float> part(static_cast<std::size_t>(std::min(step, model.num_parameters() - first)));
            source.read(first, part);
            ASSERT_EQ(0, std::memcmp(part.data(), model.at(first), part.size() * sizeof(float)));
        }
}

TEST_F(Folder, HashFollowsTheContent) {
    copy("llama");
    const std::string before = pretrained_hash(folder);
    EXPECT_EQ(before, pretrained_hash(kData / "llama"));
    std::ofstream(folder / "tokenizer.json") << "{}";
    EXPECT_NE(before, pretrained_hash(folder));
    fs::remove(folder / "tokenizer.json");
    std::fstream file(folder / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x11');
    file.close();
    EXPECT_NE(before, pretrained_hash(folder));
}

TEST_F(Folder, UnsupportedConfigIsNamed) {
    const std::vector<std::tuple<std::string, json, std::string>> cases{
        {"model_type", "mixtral", "model_type \"mixtral\" isn't supported"},
        {"hidden_act", "gelu", "hidden_act \"gelu\""},
        {"mlp_bias", true, "mlp_bias true"},
        {"attention_bias", "yes", "attention_bias \"yes\""},
        {"rope_parameters", {{"rope_type", "proportional"}}, "rope_type \"proportional\" isn't supported"},
        {"rope_parameters", {{"rope_type", "linear"}}, "factor null is missing"},
        {"rope_parameters", {{"mrope_section", {1, 2}}}, "rope_parameters.mrope_section [1,2] isn't supported"},
        {"partial_rotary_factor", 0.5, "partial_rotary_factor 0.5 isn't part of the family llama"},
        {"model_type", "qwen3_5", "model_type \"qwen3_5\" isn't supported (most of its layers are linear attention)"},
        {"model_type", "qwen3_moe", "isn't supported (a mixture of experts)"},
        {"num_local_experts", 8, "num_local_experts 8 isn't supported (a mixture of experts)"},
        {"attn_logit_softcapping", 50.0, "attn_logit_softcapping 50.0 isn't supported for llama"},
        {"residual_multiplier", 0.2, "residual_multiplier 0.2 isn't supported for llama"},
        {"no_rope_layers", {1, 0}, "no_rope_layers [1,0] isn't part of the family"},
        {"rope_parameters", 7, "isn't a map"},
        {"layer_types", {"full_attention", "sliding_attention"}, "sliding_attention"},
        {"quantization_config", {{"bits", 4}}, "quantization_config"},
        {"hidden_size", nullptr, "lacks hidden_size"},
        {"hidden_size", -3, "hidden_size -3"},
        {"num_hidden_layers", 2.5, "num_hidden_layers 2.5"},
        {"num_hidden_layers", 2000000000, "don't belong together"},
        {"vocab_size", 9007199254740993, "vocab_size"},
        {"num_attention_heads", 2000000000, "more than any model has"},
        {"num_key_value_heads", 3, "isn't a multiple of kv_heads 3"},
        {"rms_norm_eps", "small", "rms_norm_eps"},
    };
    for (const auto& [key, value, words] : cases) {
        TearDown();
        copy("llama");
        change_config(key, value);
        says(words);
    }
    std::ofstream(folder / "config.json") << "{";
    says("is no JSON");
    std::ofstream(folder / "config.json") << "[]";
    says("no JSON object");
}

TEST_F(Folder, EveryMissingWronglyShapedAndUnknownTensorIsListed) {
    copy("llama");
    change_config("intermediate_size", 41);
    change_config("num_hidden_layers", 3);
    says("model.layers.0.mlp.gate_proj.weight has shape [40,32], config.json asks for [41,32]");
    says("model.layers.1.mlp.down_proj.weight has shape [32,40], config.json asks for [32,41]");
    says("model.layers.2.input_layernorm.weight is missing");
    says("model.layers.2.mlp.down_proj.weight is missing");
    change_config("intermediate_size", 40);
    change_config("num_hidden_layers", 1);
    says("model.layers.1.input_layernorm.weight isn't part of such a model");
    change_config("num_hidden_layers", 2);
    change_config("tie_word_embeddings", false);
    says("lm_head.weight is missing");
}

TEST_F(Folder, WindowsOfMistralFollowItsConfig) {
    copy("mistral");
    EXPECT_EQ(load_pretrained(folder).spec().window, 0);
    change_config("sliding_window", 9);
    EXPECT_EQ(load_pretrained(folder).spec().window, 9);
    change_config("sliding_window", nullptr);  // removes the key: transformers takes 4096
    EXPECT_EQ(load_pretrained(folder).spec().window, 4096);
}

TEST_F(Folder, MissingOrMisleadingWeightFilesAreErrors) {
    copy("qwen2");
    fs::remove(folder / "model-00002-of-00002.safetensors");
    EXPECT_THROW((void)load_pretrained(folder), IoError);
    std::ofstream(folder / "model.safetensors.index.json") << R"({"weight_map":{"a":"../../etc/passwd"}})";
    says("names no file");
    std::ofstream(folder / "model.safetensors.index.json") << "{}";
    says("has no weight_map");
    fs::remove(folder / "model.safetensors.index.json");
    says("has neither model.safetensors nor");
}

class Gradients : public testing::TestWithParam<const char*> {};

TEST_P(Gradients, AgreeWithTransformersAutograd) {
    const Model model = load_pretrained(kData / GetParam());
    const json expected = read(kData / GetParam() / "gradients.json");
    const auto ids = expected.at("input_ids").get<std::vector<std::int32_t>>();
    Forest forest;
    forest.add(ids);
    std::vector<std::int32_t> rows(ids.size() - 1);
    std::iota(rows.begin(), rows.end(), 0);
    Workspace work;
    Transformer engine(model);
    std::vector<float> gradient(static_cast<std::size_t>(model.num_parameters()), 0.0F);
    std::vector<float> d_hidden(rows.size() * static_cast<std::size_t>(model.spec().width));
    const float* hidden = engine.forward(forest, rows, work, true);
    token_loss(
        model, hidden, std::span(ids).subspan(1), 1.0F, [](int, float, float) { return 1.0F; }, d_hidden.data(),
        gradient.data(), work);
    engine.backward(forest, rows, d_hidden.data(), gradient.data(), work);
    EXPECT_EQ(expected.at("gradients").size(), model.layout().tensors.size());
    for (const TensorInfo& info : model.layout().tensors) {
        double squares = 0, product = 0;
        for (std::int64_t i = 0; i < info.size(); ++i) {
            const auto g = static_cast<double>(gradient[static_cast<std::size_t>(info.offset + i)]);
            squares += g * g;
            product += g * std::cos(static_cast<double>(i));
        }
        const auto want = expected.at("gradients").at(info.name).get<std::vector<double>>();
        EXPECT_NEAR(std::sqrt(squares), want[0], 1e-4 * (1 + want[0])) << info.name;
        EXPECT_NEAR(product, want[1], 1e-4 * (1 + want[0])) << info.name;
    }
}

INSTANTIATE_TEST_SUITE_P(OfTwoFamilies, Gradients, testing::Values("qwen2", "glm4"));
INSTANTIATE_TEST_SUITE_P(OfEveryFamily, Gradients, testing::ValuesIn(kFamilyModels));

}  // namespace
}  // namespace tdrm::model
