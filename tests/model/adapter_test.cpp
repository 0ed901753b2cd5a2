#include <cmath>

#include "folder.hpp"

namespace tdrm::model {
namespace {

class Merged : public testing::TestWithParam<const char*> {};

TEST_P(Merged, WeightsAreThoseOfPeftsOwnMerge) {
    const Model model = load_pretrained(kData / GetParam());
    const json expected = read(kData / GetParam() / "merged.json");
    for (const TensorInfo& tensor : model.layout().tensors) {
        double squares = 0, product = 0;
        for (std::int64_t i = 0; i < tensor.size(); ++i) {
            const auto x = static_cast<double>(*model.at(tensor.offset + i));
            squares += x * x;
            product += x * std::cos(static_cast<double>(i));
        }
        const auto want = expected.at(tensor.name).get<std::vector<double>>();
        EXPECT_NEAR(std::sqrt(squares), want[0], 1e-6 * (1 + want[0])) << tensor.name;
        EXPECT_NEAR(product, want[1], 1e-6 * (1 + want[0])) << tensor.name;
    }
}

INSTANTIATE_TEST_SUITE_P(Adapters, Merged,
                         testing::Values("adapter_list", "adapter_all_linear", "adapter_tied_head",
                                         "adapter_classifier"));

class AdapterFolder : public Folder {
protected:
    void copy_with_base(const char* name, const char* base) {
        copy(name);
        change("adapter_config.json", "base_model_name_or_path", (kData / base).string());
    }
    void change_adapter(const std::string& key, const json& value) const { change("adapter_config.json", key, value); }
};

TEST_F(AdapterFolder, PartsOfAMergedModelEqualTheWhole) {
    const Pretrained source(kData / "adapter_list");
    const Model model = load_pretrained(kData / "adapter_list");
    for (std::int64_t first = 0; first < model.num_parameters(); first += 77) {
        std::vector<float> part(static_cast<std::size_t>(std::min<std::int64_t>(77, model.num_parameters() - first)));
        source.read(first, part);
        for (std::size_t i = 0; i < part.size(); ++i)
            ASSERT_EQ(part[i], *model.at(first + static_cast<std::int64_t>(i))) << first;
    }
}

TEST_F(AdapterFolder, BaseIsNamedByTheAdapterOrBeforeIt) {
    copy_with_base("adapter_list", "qwen3");
    const Model model = load_pretrained(kData / "adapter_list");
    expect_equal(load_pretrained(folder), model, "absolute path");
    change_adapter("base_model_name_or_path", "Qwen/Qwen3-0.6B");
    says("the adapter's base \"Qwen/Qwen3-0.6B\" is no folder of a model here");
    const fs::path both = (kData / "qwen3").string() + "+" + folder.string();
    expect_equal(load_pretrained(both), model, "BASE+ADAPTER");
    EXPECT_EQ(pretrained_hash(both).size(), 32U);
    EXPECT_NE(pretrained_hash(both), pretrained_hash(kData / "qwen3"));
    EXPECT_EQ(tokenizer_folder(both), kData / "qwen3");
    std::ofstream(folder / "tokenizer.json") << "{}";
    EXPECT_EQ(tokenizer_folder(both), folder);
    EXPECT_THROW((void)load_pretrained((kData / "qwen3").string() + "+" + (kData / "llama").string()), DataError);
}

TEST_F(AdapterFolder, AModelBesideAnAdapterIsAmbiguous) {
    copy_with_base("adapter_list", "qwen3");
    for (const char* file : {"config.json", "model.safetensors"}) fs::copy(kData / "qwen3" / file, folder / file);
    says("holds a model and an adapter");
}

TEST_F(AdapterFolder, WhatIsntMergedIsNamed) {
    const std::vector<std::tuple<std::string, json, std::string>> cases{
        {"use_dora", true, "use_dora true isn't supported"},
        {"peft_type", "IA3", "peft_type \"IA3\" isn't supported, only LORA"},
        {"peft_type", nullptr, "peft_type null isn't supported"},
        {"bias", "all", "bias \"all\" isn't supported"},
        {"lora_bias", true, "lora_bias true isn't supported"},
        {"fan_in_fan_out", true, "fan_in_fan_out true isn't supported"},
        {"init_lora_weights", "pissa", "init_lora_weights \"pissa\" isn't supported"},
        {"layer_replication", {{0, 1}}, "layer_replication [[0,1]] isn't supported"},
        {"trainable_token_indices", {1, 2}, "trainable_token_indices [1,2] isn't supported"},
        {"use_next_years_idea", true, "use_next_years_idea true isn't supported"},
        {"lora_alpha", "7", "lora_alpha \"7\" isn't a positive number"},
        {"r", 4, "isn't of rank 4, as adapter_config.json says"},
        {"rank_pattern", {{"(", 2}}, "isn't a pattern that is understood"},
    };
    for (const auto& [key, value, words] : cases) {
        TearDown();
        copy_with_base("adapter_list", "qwen3");
        change_adapter(key, value);
        says(words);
    }
    TearDown();
    copy_with_base("adapter_list", "llama");
    says("the model has");
    TearDown();
    copy_with_base("adapter_list", "qwen3");
    change_adapter("alpha_pattern", {{"layers\\.[0-9]+\\.self_attn\\.q_proj", 7}});
    EXPECT_EQ(problem(), "");
}

}  // namespace
}  // namespace tdrm::model
