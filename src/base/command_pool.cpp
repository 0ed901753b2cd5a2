#include "tdrm/base/command_pool.hpp"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <deque>
#include <string_view>
#include <utility>

#include "command_worker.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/progress.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm {
namespace {

using nlohmann::json;
using Steady = std::chrono::steady_clock;

constexpr double kRoundSeconds = 0.5;  // longest wait without a look at the deadlines
constexpr double kEndSeconds = 5;      // that all commands get to end after their input

/// While it lives, a pipe that nobody reads is an error of write() in this thread, and no signal.
class NoPipeSignal {
public:
    NoPipeSignal() {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        was_pending_ = pending();
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    ~NoPipeSignal() {
        const timespec at_once{};
        if (!was_pending_ && pending()) sigtimedwait(&pipe_, nullptr, &at_once);
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    NoPipeSignal(const NoPipeSignal&) = delete;
    NoPipeSignal& operator=(const NoPipeSignal&) = delete;

private:
    static bool pending() {
        sigset_t signals;
        sigpending(&signals);
        return sigismember(&signals, SIGPIPE) == 1;
    }

    sigset_t pipe_{}, before_{};
    bool was_pending_ = false;
};

/// Seconds of this program's own life: between two looks, time in which it was stopped or starved counts as one.
class OwnClock {
public:
    explicit OwnClock(std::function<double()> seconds) : seconds_(std::move(seconds)), last_(seconds_()) {}
    double now() {
        const double time = seconds_();
        now_ += std::min(1.0, time - std::exchange(last_, time));
        return now_;
    }

private:
    std::function<double()> seconds_;
    double last_, now_ = 0;
};

double steady_seconds() { return std::chrono::duration<double>(Steady::now().time_since_epoch()).count(); }

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

/// One call of `ask`.
struct Batch {
    Batch(std::span<const json> all, std::int64_t id, const CommandPool::Check& checks)
        : items(all), first_id(id), check(checks), replies(all.size()), failures(all.size()), left(all.size()) {
        for (std::size_t i = 0; i < all.size(); ++i) {
            ensure(all[i].is_object() && !all[i].contains("id"), "an item of a command is an object without an id");
            todo.push_back(i);
        }
    }

    /// What the command reads, without the end of the line. ASCII, so that no locale matters.
    [[nodiscard]] std::string line(std::size_t item) const {
        const std::string members = items[item].dump(-1, ' ', true, json::error_handler_t::replace).substr(1);
        return cat("{\"id\":", first_id + static_cast<std::int64_t>(item), members == "}" ? "" : ",", members);
    }

    std::span<const json> items;
    std::int64_t first_id;
    const CommandPool::Check& check;
    std::vector<json> replies;
    std::vector<int> failures;     ///< of processes, at each item
    std::deque<std::size_t> todo;  ///< items that no process holds
    std::size_t left;              ///< items without a reply
};

}  // namespace

void CommandOptions::fields(Fields& f) {
    f("run", run, "the command: reads an item a line, writes a reply a line, both JSON; run by /bin/sh");
    f("workers", workers, "processes of the command on each rank", between(1, 1024)).not_identity();
    f("window", window, "items that a process holds at once", at_least(1)).not_identity();
    f("deadline", deadline, "time for one item; a process that takes longer is killed", above(0)).not_identity();
    f("attempts", attempts, "processes that may fail at an item before the run ends", at_least(1)).not_identity();
}

std::vector<std::string> CommandOptions::validate() const {
    if (!is_blank(run)) return {};
    return {"run is empty; it must be a command."};
}

class CommandPool::Processes {
public:
    Processes(CommandOptions options, std::function<double()> seconds)
        : options_(std::move(options)),
          workers_(static_cast<std::size_t>(options_.workers)),
          clock_(std::move(seconds)) {}

    ~Processes() {
        for (CommandWorker& worker : workers_) worker.close_input();
        const auto limit =
            Steady::now() + std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(kEndSeconds));
        for (CommandWorker& worker : workers_) worker.let_end(limit);
    }
    Processes(const Processes&) = delete;
    Processes& operator=(const Processes&) = delete;

    std::vector<json> ask(std::span<const json> items, const Alive& alive, const Check& check) {
        const NoPipeSignal quiet;
        Batch batch(items, next_id_, check);
        next_id_ += static_cast<std::int64_t>(items.size());
        try {
            exchange(batch, 0);  // what idle processes have said or done meanwhile
            for (hand_out(batch); batch.left > 0; hand_out(batch)) {
                exchange(batch, wait_seconds());
                judge(batch);
                if (alive) alive();
            }
        } catch (...) {
            for (CommandWorker& worker : workers_) worker.stop();
            throw;
        }
        return std::move(batch.replies);
    }

    [[nodiscard]] std::int64_t failures() const { return failures_; }

private:
    /// Hands out as many items as are taken. An item at which a process has failed waits for a worker without others,
    /// and the items behind it wait, too: else that worker might never come.
    void hand_out(Batch& batch) {
        while (!batch.todo.empty()) {
            const std::size_t item = batch.todo.front();
            const bool alone = batch.failures[item] > 0;
            CommandWorker* worker = free_worker(alone);
            if (worker == nullptr) return;
            worker->give(options_.run, item, batch.line(item) + "\n", alone);
            if (worker->held().size() == 1) worker->begin(clock_.now());
            batch.todo.pop_front();
        }
    }

    /// The worker that holds least; for an item alone, one that holds nothing, if possible without a process.
    CommandWorker* free_worker(bool alone) {
        CommandWorker* best = nullptr;
        const auto load = [&](const CommandWorker& worker) {
            return alone ? static_cast<std::size_t>(worker.runs()) : worker.held().size();
        };
        for (CommandWorker& worker : workers_)
            if (alone ? worker.held().empty() : worker.takes(options_.window))
                if (best == nullptr || load(worker) < load(*best)) best = &worker;
        return best;
    }

    /// Until the next deadline, or shorter.
    double wait_seconds() {
        const double now = clock_.now();
        double wait = kRoundSeconds;
        for (const CommandWorker& worker : workers_)
            if (!worker.held().empty()) wait = std::min(wait, worker.since() + options_.deadline.value - now);
        return std::max(wait, 0.0);
    }

    /// Waits until a process reads or writes, at most so long, and moves what can be moved.
    void exchange(Batch& batch, double seconds) {
        std::vector<pollfd> ends;
        std::vector<CommandWorker*> owners;
        for (CommandWorker& worker : workers_) {
            if (!worker.runs()) continue;
            owners.push_back(&worker);
            ends.push_back({worker.writes_to(), POLLOUT, 0});  // poll passes over -1
            ends.push_back({worker.reads_from(), POLLIN, 0});
        }
        if (::poll(ends.data(), ends.size(), static_cast<int>(std::ceil(seconds * 1000))) < 0 && errno != EINTR)
            throw IoError(
                cat("can't wait for ", name(), " (", std::strerror(errno), "). Lower the number of workers."));
        for (std::size_t i = 0; i < owners.size(); ++i) {
            if (ends[2 * i].revents != 0) owners[i]->write();
            if (ends[2 * i + 1].revents != 0) receive(*owners[i], batch);
        }
    }

    void receive(CommandWorker& worker, Batch& batch) {
        const bool goes_on = worker.read([&](std::string_view line) { take(worker, batch, line); });
        if (worker.unfinished().size() > kMaxReplyBytes) refuse_length(worker.unfinished());
        if (!goes_on) ended(worker, batch);
    }

    void take(CommandWorker& worker, Batch& batch, std::string_view line) {
        if (line.size() > kMaxReplyBytes) refuse_length(line);
        if (is_blank(line)) return;
        json reply = parse_json_or_discard(line);
        if (!reply.is_object()) refuse("this isn't a JSON object", line);
        const auto id = reply.find("id");
        if (id == reply.end() || !id->is_number_integer()) refuse("there is no whole number \"id\"", line);
        const auto number = id->get<std::int64_t>();
        const auto& held = worker.held();
        const auto found = std::find_if(held.begin(), held.end(), [&](std::size_t item) {
            return batch.first_id + static_cast<std::int64_t>(item) == number;
        });
        if (found == held.end()) refuse("this process has no item of this id to reply to, or did so before", line);
        const std::size_t item = *found;
        try {
            if (batch.check) batch.check(item, reply);
        } catch (const DataError& problem) {
            refuse(problem.what(), line);
        }
        batch.replies[item] = std::move(reply);
        --batch.left;
        worker.answered(item, clock_.now());
    }

    void judge(Batch& batch) {
        const double now = clock_.now();
        for (CommandWorker& worker : workers_)
            if (!worker.held().empty() && now - worker.since() >= options_.deadline.value)
                failed(worker, batch, cat("gave no reply within ", time_text(options_.deadline.value), " to "),
                       "A command must write each reply at once (flush its output); or raise its deadline.");
    }

    void ended(CommandWorker& worker, Batch& batch) {
        const auto status = worker.status();
        if (status && is_not_found(*status) && !worker.has_replied())
            throw ConfigError(cat(name(), " can't be run: the shell ", status_text(*status),
                                  ", as it does if a program isn't there or may not be executed. Correct the command, "
                                  "or install the program on every node."));
        failed(worker, batch, cat(status ? status_text(*status) : "closed its output", " before it replied to "),
               "Its standard error may say why; try it by hand with this line.");
    }

    /// A process is done with: what it held is asked again.
    void failed(CommandWorker& worker, Batch& batch, const std::string& how, std::string_view suggestion) {
        const std::deque<std::size_t> held = worker.held();
        worker.stop();
        if (held.empty()) return;  // it may end when it has nothing to do
        ++failures_;
        const std::size_t item = held.front();
        const std::string text = cat(name(), " ", how, shortened(batch.line(item), 300));
        if (++batch.failures[item] >= options_.attempts)
            throw DataError(cat(text,
                                options_.attempts > 1 ? cat(", the last of ", options_.attempts, " attempts") : "",
                                " (every item needs a reply). ", suggestion));
        if (failures_ == 1)
            log::warn(cat(text, "; another process is asked. Further failures are counted and not told."));
        batch.todo.insert(batch.todo.begin(), held.begin(), held.end());
    }

    [[nodiscard]] std::string name() const { return cat("the command \"", shortened(options_.run), "\""); }

    [[noreturn]] void refuse_length(std::string_view line) const {
        refuse(cat("this line has more than ", kMaxReplyBytes, " bytes"), line);
    }

    [[noreturn]] void refuse(std::string_view problem, std::string_view line) const {
        throw DataError(cat(name(), " wrote ", shortened(line), ": ", problem,
                            " (each line is the reply to one item). Correct the command; what else it has to say "
                            "belongs on its standard error."));
    }

    CommandOptions options_;
    std::vector<CommandWorker> workers_;
    OwnClock clock_;
    std::int64_t next_id_ = 0, failures_ = 0;
};

CommandPool::CommandPool(CommandOptions options, std::function<double()> seconds) {
    ensure(options.validate().empty() && options.workers >= 1 && options.window >= 1 && options.deadline.value > 0 &&
               options.attempts >= 1,
           "options of a command are in their ranges");
    processes_ = std::make_unique<Processes>(std::move(options), seconds ? std::move(seconds) : steady_seconds);
}

CommandPool::~CommandPool() = default;

std::vector<json> CommandPool::ask(std::span<const json> items, const Alive& alive, const Check& check) {
    return processes_->ask(items, alive, check);
}

std::int64_t CommandPool::failures() const { return processes_->failures(); }

namespace {

const json& member(const json& reply, const char* name) {
    const auto found = reply.find(name);
    if (found == reply.end()) throw DataError(cat("there is no \"", name, "\""));
    return *found;
}

/// parse_json reads NaN and infinity as null.
double finite(const json& value, const char* where) {
    if (!value.is_number() || !std::isfinite(value.get<double>()))
        throw DataError(cat(where, " isn't a finite number"));
    return value.get<double>();
}

}  // namespace

double score_of(const json& reply) { return finite(member(reply, "score"), "\"score\""); }

std::vector<double> scores_of(const json& reply, std::size_t count) {
    const json& list = member(reply, "scores");
    if (!list.is_array() || list.size() != count)
        throw DataError(cat("\"scores\" isn't a list of ", count, " numbers"));
    std::vector<double> scores;
    for (const json& each : list) scores.push_back(finite(each, "a number of \"scores\""));
    return scores;
}

}  // namespace tdrm
