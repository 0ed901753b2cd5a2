#include <cstring>

#include "folder.hpp"

namespace tdrm::model {
namespace {

class Names : public Folder {
protected:
    /// The copy reads as the original does, whatever its tensors are called.
    void reads_as(const char* original, const std::function<std::string(const std::string&)>& name_of,
                  const std::string& what) {
        TearDown();
        copy(original);
        rename_tensors(name_of);
        expect_equal(load_pretrained(folder), load_pretrained(kData / original), what);
    }
    /// One line, with these words.
    void says_in_one_line(const std::string& words) const {
        says(words);
        EXPECT_EQ(problem().find('\n'), std::string::npos) << problem();
    }
};

TEST_F(Names, BehindAWrapperAreReadAsThoseOfTheModel) {
    for (const std::string prefix : {"base_model.model.", "_orig_mod.", "module.", "module._orig_mod.", "x.y."})
        for (const char* model : {"llama", "mistral", "sequence_classifier"})
            reads_as(
                model, [&](const std::string& name) { return prefix + name; }, prefix);
    reads_as(
        "llama", [](std::string name) { return name.replace(0, 6, "model._orig_mod."); }, "compiled decoder");
    const auto within = [](std::string name) {
        if (const auto at = name.find("self_attn."); at != std::string::npos) name.insert(at, "_orig_mod.");
        return name;
    };
    reads_as("llama", within, "compiled layers");
}

TEST_F(Names, OfABareDecoderAreReadAsThoseOfTheModel) {
    reads_as(
        "llama", [](const std::string& name) { return name.substr(6); }, "tied");
    const auto bare = [](const std::string& name) { return name.starts_with("model.") ? name.substr(6) : name; };
    reads_as("mistral", bare, "with a head");
    reads_as("sequence_classifier", bare, "with a value head");
    const auto other = [](const std::string& name) {
        return name.starts_with("model.") ? "bert." + name.substr(6) : name;
    };
    reads_as("mistral", other, "another word");
}

TEST_F(Names, OfAModelOfTextsAndPicturesAreReadWithoutThePictures) {
    for (const auto& [outer, inner] : {std::pair{"gemma3", "gemma3_text"}, std::pair{"mistral3", "mistral"}})
        for (const bool now : {false, true}) {
            const char* original = std::string_view(outer) == "gemma3" ? "gemma3" : "mistral_window";
            TearDown();
            copy(original);
            rename_tensors([&](const std::string& name) {
                const bool body = name.starts_with("model.");
                if (now) return body ? "model.language_model." + name.substr(6) : name;
                return "language_model." + name;
            });
            json text = read(folder / "config.json");
            if (std::string_view(outer) == "gemma3") text.erase("model_type");
            const json whole{{"model_type", outer},
                             {"tie_word_embeddings", text["tie_word_embeddings"]},
                             {"text_config", text},
                             {"vision_config", {{"hidden_size", 8}}}};
            std::ofstream(folder / "config.json") << whole.dump();
            expect_equal(load_pretrained(folder), load_pretrained(kData / original), outer);
            EXPECT_EQ(load_pretrained(folder).spec().features().model_type, inner);
        }
}

TEST_F(Names, OfTowersOfPicturesAreLeftAlone) {
    copy("mistral_window");
    const json text = read(folder / "config.json");
    std::ofstream(folder / "config.json")
        << json{{"model_type", "mistral3"}, {"text_config", text}, {"tie_word_embeddings", false}}.dump();
    fs::rename(folder / "model.safetensors", folder / "model-1.safetensors");
    const auto ones = [](std::int64_t, std::span<float> out) { std::ranges::fill(out, 1.0F); };
    const std::vector<NamedTensor> tower{
        {"vision_tower.transformer.layers.0.feed_forward.down_proj.weight", {2, 2}, ones},
        {"model.vision_tower.layers.0.self_attn.q_proj.weight", {2, 2}, ones},
        {"multi_modal_projector.linear_1.weight", {2, 2}, ones}};
    write_safetensors(folder / "model-2.safetensors", tower, Dtype::f32);
    std::ofstream(folder / "model.safetensors.index.json")
        << R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})";
    expect_equal(load_pretrained(folder), load_pretrained(kData / "mistral_window"), "with pictures");
    std::ofstream(folder / "config.json") << text.dump();
    says("multi_modal_projector.linear_1.weight isn't part of such a model");
}

TEST_F(Names, ThatAreUnknownAreToldInOneLine) {
    copy("llama");
    rename_tensors([](const std::string& name) { return "h." + name.substr(name.rfind("layers") + 6); });
    says_in_one_line("a decoder that tdrm knows has one that ends with layers.0.mlp.down_proj.weight");
    TearDown();
    copy("llama");  // peft's unmerged form
    rename_tensors([](std::string name) {
        if (const auto at = name.find("_proj.weight"); at != std::string::npos) name.insert(at + 5, ".base_layer");
        return "base_model.model." + name;
    });
    says_in_one_line("a decoder that tdrm knows");
    EXPECT_EQ(problem().find("again"), std::string::npos);
}

TEST_F(Names, OfTwoDecodersAreToldInOneLine) {
    copy("llama");
    const Model model = load_pretrained(folder);
    fs::copy(folder / "model.safetensors", folder / "model-1.safetensors");
    rename_tensors([](const std::string& name) { return "reference." + name; });
    fs::rename(folder / "model.safetensors", folder / "model-2.safetensors");
    std::ofstream(folder / "model.safetensors.index.json")
        << R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})";
    says_in_one_line("holds several decoders, under \"model.\" and \"reference.model.\"");
}

TEST_F(Names, OfATiedModelMayBeThoseOfItsHeadOnly) {
    const auto head = [](const std::string& name) {
        return name == "model.embed_tokens.weight" ? "lm_head.weight" : name;
    };
    reads_as("llama", head, "head only");
    reads_as(
        "llama", [&](const std::string& name) { return "base_model.model." + head(name); }, "and wrapped");
}

class Ties : public Folder {
protected:
    /// Adds lm_head.weight, the embedding with its first number changed by `by`.
    void add_head(float by) {
        copy("llama");
        const SafetensorsFile file(folder / "model.safetensors");
        values.resize(64 * 32);
        file.read("model.embed_tokens.weight", 0, values);
        values[0] += by;
        const std::vector<NamedTensor> head{
            {"lm_head.weight", {64, 32}, [this](std::int64_t first, std::span<float> out) {
                 std::copy_n(values.begin() + first, out.size(), out.begin());
             }}};
        fs::rename(folder / "model.safetensors", folder / "model-1.safetensors");
        write_safetensors(folder / "model-2.safetensors", head, Dtype::f32);
        std::ofstream(folder / "model.safetensors.index.json")
            << R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})";
    }
    std::vector<float> values;
};

TEST_F(Ties, HoldIfTheFileHasTheSameHeadTwice) {
    add_head(0);
    expect_equal(load_pretrained(folder), load_pretrained(kData / "llama"), "twice");
}

TEST_F(Ties, AreBrokenByAnotherHeadWhichIsUsed) {
    add_head(0.5F);
    testing::internal::CaptureStderr();
    const Model model = load_pretrained(folder);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("tie_word_embeddings"), std::string::npos);
    EXPECT_FALSE(model.spec().tied);
    EXPECT_EQ(0, std::memcmp(model.at(model.layout().head), values.data(), values.size() * sizeof(float)));
    EXPECT_NE(*model.at(model.layout().embedding), values[0]);
}

TEST_F(Folder, AnIndexBesideOneWholeFileIsStale) {
    copy("llama");
    std::ofstream(folder / "model.safetensors.index.json")
        << R"({"weight_map":{"a":"model-00001-of-00009.safetensors"}})";
    expect_equal(load_pretrained(folder), load_pretrained(kData / "llama"), "stale index");
}

TEST_F(Folder, PointersOfGitLfsAreCalledSo) {
    for (const char* file : {"config.json", "model.safetensors"}) {
        TearDown();
        copy("llama");
        std::ofstream(folder / file) << "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 7\n";
        says(std::string(file) + " is a Git LFS pointer");
        says("git lfs pull");
    }
}

TEST_F(Folder, OlderRopeScalingCountsBesideRopeParameters) {
    copy("llama");
    change_config("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5000.0}});
    change_config("rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}});
    change_config("rope_theta", 7000.0);
    const ModelSpec spec = load_pretrained(folder).spec();
    EXPECT_EQ(spec.rope_scaling.kind, RopeKind::linear);
    EXPECT_EQ(spec.rope_scaling.factor, 4);
    EXPECT_EQ(spec.rope_theta, 7000);
    change_config("rope_scaling", json::object());
    EXPECT_EQ(load_pretrained(folder).spec().rope_theta, 5000);
}

TEST_F(Folder, WeightsOfOtherFormatsAreNamedBeforeTheyAreRead) {
    copy("llama");
    std::ifstream in(folder / "model.safetensors", std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    for (std::size_t at = 0; (at = bytes.find("\"F32\"", at)) != std::string::npos;) bytes.replace(at, 5, "\"I32\"");
    std::ofstream(folder / "model.safetensors", std::ios::binary) << bytes;
    EXPECT_THROW((void)Pretrained(folder), DataError);
    says("model.norm.weight is stored as I32 (only F32, BF16 and F16 are read)");
}

}  // namespace
}  // namespace tdrm::model
