#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <optional>

#include "manual.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/comm/session.hpp"

namespace {

constexpr const char* kExamples =
    R"(  mpirun -np 2 tdrm run configs/countdown.yaml            the same command again resumes
  mpirun -np 2 tdrm run configs/countdown.yaml --set run.seed=2 --set run.dir=runs/s2
  tdrm run configs/countdown.yaml --dry-run               what would be done
  tdrm run configs/countdown.yaml --max-time 3h55m        commits and ends with 75 by then
  tdrm run configs/countdown.yaml --until "td[*]"         these stages and what they need
  tdrm explain rl.advantage                               help on options of the run file
  tdrm inspect runs/countdown                             what is there, is it whole
  tdrm show runs/countdown/bon --sort wrongest            problems whose best answer by value is wrong
  tdrm show runs/countdown/bon 3 --wrong                  answers to problem 3, step by step with values
  tdrm replay runs/countdown/grpo --update 40 --answer 3  what reward, advantage and loss each token of it got
  tdrm export runs/countdown/grpo@best grpo-hf            for transformers
  mpirun -np 2 tdrm doctor                                what a job here will meet
  tdrm verify --file pairs.jsonl                          are two answers the same, and why
  tdrm tokenize --tokenizer DIR < texts.txt               token ids of each line)";

constexpr const char* kExitCodes =
    R"(0 done, 64 usage or configuration, 65 data, 69 a missing part of the installation, 70 bug,
71 communication, 74 file system, 75 stopped on request or at --max-time after a commit (start again to go on).)";

/// What an option of this type may be called, for CLI11.
template <class E>
std::map<std::string, E> names_of() {
    std::map<std::string, E> names;
    for (const auto& [value, name] : enum_names(E{})) names.emplace(name, value);
    return names;
}

/// The command line as a choice of verb.
struct CommandLine {
    std::string verb;
    tdrm::app::RunRequest run;
    tdrm::app::TokenizeRequest tokenize;
    std::string directory = ".", key, pairs, shell, gpu;
    tdrm::app::ExportRequest to_export;
    tdrm::app::CheckModelRequest check_model;
    tdrm::app::ShowRequest show;
    tdrm::app::ReplayRequest replay;
};

constexpr const char* kReferenceHelp = R"(
The reference is a JSON list of cases, made with transformers, say; all keys but the first may be left out:
  [{"input_ids": [1, 403, 407], "logprobs_of_next": [-0.24, -0.02], "last_logprobs": [...], "greedy": [261, 378]}]
logprobs_of_next: of the second, third, ... token given those before. last_logprobs: of the whole vocabulary after the
last token. greedy: the most likely continuation. Natural logarithms.
Of reward models:
  [{"input_ids": [5, 6, 7, 9, 7], "positions": [2, 4], "values": [0.91, 0.27], "logits": [2.31, -0.99]}]
positions: where values are read, counted from 0; none: at the last token. values: probabilities. logits: before the
sigmoid, a number or a list with one for each label of the head. tokens: those of a language head that mean right and
wrong. bins: the value of each label.)";

/// A number that isn't smaller, nor nan, which ranges of CLI11 let through.
CLI::Validator at_least_a(double least) {
    const auto fault = [least](const std::string& text) -> std::string {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && value >= least) return {};
        return tdrm::cat("\"", text, "\" is no number of at least ", least, ". Give one");
    };
    return {fault, "NUMBER"};
}

void define_tokenize(CLI::App& app, tdrm::app::TokenizeRequest& request) {
    auto* verb =
        app.add_subcommand("tokenize", "token ids of each line of standard input, or a check of a file of ids");
    verb->add_option("--tokenizer", request.tokenizer, "tokenizer.json or a folder that holds one")->required();
    auto* check = verb->add_option("--check", request.check,
                                   R"(compare with this file: a line {"text", "ids", "decoded" (optional)} each)");
    auto* json = verb->add_flag("--json", request.json, "lines are JSON strings, so that a text may hold line ends")
                     ->excludes(check);
    auto* decode =
        verb->add_flag("--decode", request.decode, "lines are JSON lists of ids; prints their texts as JSON strings")
            ->excludes(check)
            ->excludes(json);
    verb->add_flag("--add-special", request.add_special, "with the special tokens that the tokenizer adds")
        ->excludes(check)
        ->excludes(decode);
    verb->add_flag("--skip-special", request.skip_special, "decoded texts without special tokens")->needs(decode);
}

constexpr const char* kShowHelp = R"(
Of the stages that hold answers: rollout, import, annotate, evaluate, search (the chosen path and what lay beside it), rl
with save_rollouts (STAGE@update-10), and of best_of_n and score the answers that they have values of. docs/show.md.)";

void define_show(CLI::App& app, tdrm::app::ShowRequest& request) {
    auto* verb = app.add_subcommand("show", "stored answers of a stage, step by step with the value after each");
    verb->add_option("stage", request.place, "RUN/STAGE; of an rl stage also RUN/STAGE@update-10")->required();
    auto* problem = verb->add_option("problem", request.problem, "number of a problem; without it they are listed");
    auto* answer = verb->add_option("--answer", request.answer, "only this answer of the problem, counted from 0");
    auto* right = verb->add_flag("--right", request.right, "only right answers")->excludes(answer);
    auto* wrong = verb->add_flag("--wrong", request.wrong, "only wrong answers")->excludes(answer)->excludes(right);
    for (auto* option : {answer, right, wrong}) option->needs(problem);
    verb->add_option("--model", request.model, "whose values, where there are several; of evaluate: which policy");
    verb->add_option("--sort", request.sort,
                     "number (as stored), value (largest first), wrongest (wrong ones of large value first), hardest "
                     "(problems with fewest right answers first)")
        ->check(CLI::IsMember({"number", "value", "wrongest", "hardest"}));
    verb->add_option("--from", request.from, "first of the sorted problems, or of a problem's answers")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
    verb->add_option("--count", request.count, "how many are shown")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40))
        ->capture_default_str();
    verb->footer(kShowHelp);
}

void define_replay(CLI::App& app, tdrm::app::ReplayRequest& request) {
    auto* verb =
        app.add_subcommand("replay", "compute an update of an rl stage again, and account for one of its answers");
    verb->add_option("stage", request.place, "RUN/STAGE of a run with save_rollouts and commit: {at: N}")->required();
    verb->add_option("--update", request.what.update, "updates that had been made when its answers were drawn")
        ->required()
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
    verb->add_option("--answer", request.what.answer, "row of the batch; default: the first that trains")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
}

void define(CLI::App& app, CommandLine& line) {
    app.require_subcommand(1);
    app.failure_message([](const CLI::App*, const CLI::Error& error) {
        return tdrm::cat("tdrm: ", error.what(), ". See tdrm --help, or tdrm VERB --help.\n");
    });
    app.footer(tdrm::cat("\nExamples\n", kExamples, "\n\nExit codes: ", kExitCodes));
    auto* run = app.add_subcommand("run", "execute the stages of a run file, going on where an earlier start stopped");
    run->add_option("file", line.run.plan.file, "run file (YAML)")->required();
    run->add_option("--set", line.run.plan.set,
                    "override an option; once for each: --set run.seed=2 --set run.dir=runs/s2")
        ->allow_extra_args(false);
    run->add_option("--only", line.run.plan.only, "only this stage; once for each: --only td --only bon")
        ->allow_extra_args(false);
    run->add_option("--until", line.run.plan.until, "this stage and what it depends on; once for each")
        ->allow_extra_args(false);
    run->add_option("--redo", line.run.plan.redo, "make this stage again, and those that depend on it; once for each")
        ->allow_extra_args(false);
    run->add_flag(
        "--dry-run", line.run.dry_run,
        "print the plan only; models are planned by config.json, and what isn't there yet is listed behind it (64)");
    run->add_option("--ranks", line.run.plan_ranks, "ranks that --dry-run plans for")->check(CLI::Range(1, 1 << 20));
    run->add_option("--memory", line.run.memory_gb, "GB a rank may use: --dry-run ends with 64 if a stage needs more")
        ->check(at_least_a(1e-3));
    run->add_option_function<std::string>(
        "--max-time",
        [&line](const std::string& text) {
            line.run.max_time = tdrm::read_duration(text);
            if (!line.run.max_time)
                throw CLI::ValidationError("--max-time", "\"" + text +
                                                             "\" is no duration (it says when to stop). Write 3h55m, "
                                                             "90m, 3600 for seconds, or 1-12:00:00 as Slurm does");
        },
        "stop after this time since the start, like a stop request: commit, end with 75. 3h55m, 90m, 1-12:00:00");
    app.add_subcommand("inspect", "what a run folder holds, whether it is whole, how it ended")
        ->add_option("run", line.directory, "run folder")
        ->required();
    define_show(app, line.show);
    define_replay(app, line.replay);
    auto* doctor = app.add_subcommand("doctor", "what a job on these ranks will meet");
    doctor->add_option("folder", line.directory, "folder for runs");
    doctor->add_flag("--gpu{cuda}", line.gpu,
                     "instead try the first GPU: kernels, bits, speeds, in a few minutes; --gpu=emulated without one");
    auto* to_export = app.add_subcommand("export", "write a model as a Hugging Face folder that transformers loads");
    to_export
        ->add_option("model", line.to_export.source,
                     "RUN/STAGE, RUN/STAGE@best, RUN/STAGE@update-100, hf:DIR or hf:BASE+ADAPTER")
        ->required();
    to_export->add_option("folder", line.to_export.directory, "new folder")->required();
    to_export->add_option("--dtype", line.to_export.dtype,
                          "fp32, bf16 or fp16; default: as the model is stored, which is exact");
    to_export->add_flag("--adapter", line.to_export.adapter,
                        "only the adapters of a stage with lora, as peft loads them");
    auto* check = app.add_subcommand(
        "check-model", "compare a Hugging Face folder with reference log-probs and greedy continuations, or values");
    check->add_option("folder", line.check_model.directory, "model")->required();
    check->add_option("--reference", line.check_model.reference, "JSON file")->required();
    check->add_option("--tolerance", line.check_model.tolerance, "largest allowed difference of a log-prob or value")
        ->check(at_least_a(0))
        ->capture_default_str();
    check
        ->add_option("--device", line.check_model.device,
                     "where to compute: cpu, cuda, or emulated, the code of GPUs on a processor. GPUs compute in bf16: "
                     "look at the RMS, and allow more. Default: cpu")
        ->transform(CLI::CheckedTransformer(names_of<tdrm::engine::DeviceKind>()).description(""))
        ->type_name("DEVICE");
    check->add_option("--products", line.check_model.products, "how processors multiply: fp32 or bf16. Default: fp32")
        ->transform(CLI::CheckedTransformer(names_of<tdrm::model::Products>()).description(""))
        ->type_name("PRODUCTS");
    check->footer(kReferenceHelp);
    app.add_subcommand("explain", "help on options of the run file: explain rl.advantage.lambda")
        ->add_option("key", line.key, "KIND.KEY");
    define_tokenize(app, line.tokenize);
    app.add_subcommand("verify", "are pairs of mathematical answers the same, and why")
        ->add_option("--file", line.pairs, R"(a line {"gold", "answer"} each (JSONL))")
        ->required();
    app.add_subcommand("man", "the manual page")->group("");  // for cmake --install
    app.add_subcommand("completion", "completion for a shell")
        ->group("")
        ->add_option("shell", line.shell, "bash")
        ->required()
        ->check(CLI::IsMember({"bash"}));
    app.set_version_flag("--version", [] { return tdrm::app::about(); });
}

int print(const std::string& text) {
    std::cout << text;
    return std::cout.flush() ? 0 : static_cast<int>(tdrm::ExitCode::io);
}

/// Runs the verb if it needs neither ranks nor their launcher.
std::optional<int> run_local(const CLI::App& app, const CommandLine& line) {
    try {
        if (line.verb == "man") return print(tdrm::app::manual_page(app, kExamples, kExitCodes));
        if (line.verb == "completion") return print(tdrm::app::bash_completion(app));
        if (line.verb == "inspect") return tdrm::app::inspect(line.directory);
        if (line.verb == "show") return tdrm::app::show(line.show);
        if (line.verb == "export") return tdrm::app::export_model(line.to_export);
        if (line.verb == "check-model") return tdrm::app::check_model(line.check_model);
        if (line.verb == "explain") return tdrm::app::explain_key(line.key);
        if (line.verb == "tokenize") return tdrm::app::tokenize(line.tokenize, std::cin, std::cout);
        if (line.verb == "verify") return tdrm::app::verify(line.pairs, std::cout);
    } catch (const std::exception& error) {
        const auto failure = tdrm::describe(error);
        std::fprintf(stderr, "tdrm: %s\n", failure.message.c_str());
        return static_cast<int>(failure.code);
    }
    return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{
        "tdrm trains temporal-difference process reward models and uses them: best-of-N, search, reinforcement "
        "learning."};
    CommandLine line;
    define(app, line);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? 0 : static_cast<int>(tdrm::ExitCode::usage);
    }
    line.verb = app.get_subcommands().front()->get_name();
    if (const auto code = run_local(app, line)) return *code;
    return tdrm::comm::run_guarded(argc, argv, [&](tdrm::comm::Communicator& ranks) {
        tdrm::log::set_rank(ranks.rank());
        if (line.verb == "run") return tdrm::app::run(ranks, line.run);
        if (line.verb == "replay") return tdrm::app::replay(ranks, line.replay);
        if (!line.gpu.empty()) return tdrm::app::try_gpu(ranks, line.gpu);
        return tdrm::app::doctor(ranks, line.directory);
    });
}
