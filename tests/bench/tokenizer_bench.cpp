// Encoding speed on one core, in bytes of text a second.
//   tokenizer_bench TOKENIZER.json TEXT_FILE [Google Benchmark's options]
#include <benchmark/benchmark.h>

#include <fstream>
#include <sstream>

#include "tdrm/text/tokenizer.hpp"

namespace {

using tdrm::text::Tokenizer;

std::string read(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void load(benchmark::State& state, const std::string& json) {
    for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::parse(json, "bench"));
}

void encode_whole(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
    for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(text));
    state.SetBytesProcessed(state.iterations() * std::ssize(text));
}

void encode_lines(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    for (auto _ : state)
        for (const std::string& line : lines) benchmark::DoNotOptimize(tokenizer.encode(line));
    state.SetBytesProcessed(state.iterations() * std::ssize(text));
}

/// The word cache must not be what is measured: each text is new to a tokenizer that was just loaded.
void encode_cold(benchmark::State& state, const std::string& json, const std::string& text) {
    for (auto _ : state) {
        state.PauseTiming();
        const Tokenizer tokenizer = Tokenizer::parse(json, "bench");
        state.ResumeTiming();
        benchmark::DoNotOptimize(tokenizer.encode(text));
    }
    state.SetBytesProcessed(state.iterations() * std::ssize(text));
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (argc != 3) {
        std::fprintf(stderr, "usage: tokenizer_bench TOKENIZER.json TEXT_FILE\n");
        return 64;
    }
    const std::string json = read(argv[1]), text = read(argv[2]);
    const Tokenizer tokenizer = Tokenizer::parse(json, argv[1]);
    benchmark::RegisterBenchmark("load", [&](benchmark::State& state) { load(state, json); });
    benchmark::RegisterBenchmark("encode_whole",
                                 [&](benchmark::State& state) { encode_whole(state, tokenizer, text); });
    benchmark::RegisterBenchmark("encode_lines",
                                 [&](benchmark::State& state) { encode_lines(state, tokenizer, text); });
    benchmark::RegisterBenchmark("encode_cold", [&](benchmark::State& state) { encode_cold(state, json, text); });
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
