// What the executable can do: one function a verb.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "tdrm/base/options.hpp"
#include "tdrm/comm/communicator.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/plan/plan.hpp"
#include "tdrm/stage/stage.hpp"

namespace tdrm::app {

struct RunRequest {
    plan::PlanRequest plan;
    bool dry_run = false;
    std::optional<Seconds> max_time;  ///< since the start, after which to stop
    int plan_ranks = 0;               ///< of --dry-run; 0 = as started
    double memory_gb = 0;             ///< per rank, of --dry-run; 0 = don't judge
};

struct TokenizeRequest {
    std::string tokenizer;      ///< tokenizer.json or its folder
    std::string check;          ///< JSONL file of expected ids; "" to convert lines
    bool json = false;          ///< lines are JSON strings, so that a text may hold line ends
    bool decode = false;        ///< lines are JSON lists of ids
    bool add_special = false;   ///< with the tokens that the post-processor adds
    bool skip_special = false;  ///< decoded texts without special tokens
};

struct ShowRequest {
    std::string place;                    ///< RUN/STAGE, of an rl stage perhaps with @update-10
    std::optional<std::int64_t> problem;  ///< row of the table; none = the list
    std::string model;                    ///< whose values, or which of evaluated policies; "" = the first
    std::string sort = "number";          ///< number, value, wrongest or hardest
    std::int64_t from = 0, count = 20;    ///< problems of the list, or answers of a problem
    std::optional<std::int64_t> answer;   ///< of a problem; none = all
    bool right = false, wrong = false;    ///< only such answers
};

/// Collective. `tdrm run`: executes the stages in order, going on where an earlier start stopped.
int run(comm::Communicator& ranks, const RunRequest& request);
/// Local. `tdrm show`: stored answers with the value of each state. @throws ConfigError if there is no such run, stage,
/// problem or answer, or the stage keeps none; DataError if a file is damaged
int show(const ShowRequest& request);
struct ReplayRequest {
    std::string place;  ///< RUN/STAGE
    stage::ReplayRequest what;
};
/// Collective, on one rank. `tdrm replay`: an update of an rl stage computed again from its stored answers.
/// @throws ConfigError if there is no such run or stage, or what is needed wasn't kept; DataError if a file is damaged
int replay(comm::Communicator& ranks, const ReplayRequest& request);
/// Local. `tdrm inspect`: what a run folder holds, whether it is whole, how it ended. 65 if something is damaged.
int inspect(const std::string& directory);
/// Collective. `tdrm doctor`: what a job on these ranks will meet.
int doctor(comm::Communicator& ranks, const std::string& directory);
/// Collective, on one rank. `tdrm doctor --gpu`: what a device is accepted by (docs/gpu.md).
/// @throws ConfigError without such a device
int try_gpu(comm::Communicator& ranks, const std::string& kind);
/// Local. `tdrm explain KEY`: help on an option such as rl.advantage.lambda, a kind of stage, or everything.
int explain_key(const std::string& key);
/// All keys that `tdrm explain` takes; the parts of a run file (run, kinds of tasks and stages) are those without a
/// dot.
[[nodiscard]] std::vector<std::string> explain_keys();
/// Local. What `tdrm explain KEY` prints about a key. @throws ConfigError if there is no such key
[[nodiscard]] std::string explanation(const std::string& key);

/// Local. `tdrm tokenize`: each line of `in` as a JSON list of ids (or back), or a comparison with a file of expected
/// ids. 65 if something differs. @throws DataError with the line's number at the first line that can't be read; the
/// lines before it have been written. @throws IoError if a file can't be read or the output can't be written.
int tokenize(const TokenizeRequest& request, std::istream& in, std::ostream& out);
/// Local. `tdrm verify`: a JSON verdict for each pair of a JSONL file (math::verify_file).
/// @throws as tokenize does.
int verify(const std::string& file, std::ostream& out);
struct ExportRequest {
    std::string source;     ///< RUN/STAGE, RUN/STAGE@best, or hf:DIR
    std::string directory;  ///< to make
    std::string dtype;      ///< fp32, bf16 or fp16; empty = as the model is stored
    bool adapter = false;   ///< the adapters alone, in peft's form
};
/// Local. `tdrm export`: a model as a Hugging Face folder, with the tokenizer files of the model it descends from.
int export_model(const ExportRequest& request);

struct CheckModelRequest {
    std::string directory, reference;
    double tolerance = 1e-3;
    engine::DeviceKind device = engine::DeviceKind::cpu;
    model::Products products = model::Products::fp32;
};
/// Local. `tdrm check-model`: 65 if log-probs or values differ by more than the tolerance, or a greedy token does.
int check_model(const CheckModelRequest& request);

/// The model of the processor and a hash of what it can do.
[[nodiscard]] std::string processor_info();
/// Version, revision, compiler, libraries: one line.
[[nodiscard]] std::string build_info();
/// The same and more, a line each: whatever a report of a fault should say about the program and the processor.
[[nodiscard]] std::string about();
/// What has to be equal on all ranks of an exact run: build, processor model.
[[nodiscard]] std::string fingerprint();

}  // namespace tdrm::app
