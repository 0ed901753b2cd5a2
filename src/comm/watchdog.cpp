#include "tdrm/comm/watchdog.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tdrm/base/text.hpp"

namespace tdrm::comm {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kRecordBytes = 512;  // one block of a disk: readers hardly ever see half a record
constexpr std::size_t kNameBytes = 96;

std::int64_t now_ms() {
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// What a rank last did.
struct Record {
    std::int64_t sequence = 0;  // collectives entered
    bool waiting = false;       // inside a collective
    std::string kind = "none";
    std::int64_t bytes = 0;
    std::string phase = "start";
    std::string unit = "none";
    std::int64_t time_ms = 0;   // of the last change
    std::int64_t alive_ms = 0;  // when the record was written: a frozen process writes none
};

std::string one_line(std::string_view text) {
    std::string line = shortened(text, kNameBytes);
    for (char& c : line) {
        if (c == '\n') c = ' ';
    }
    return line;
}

std::string format(const Record& record) {
    std::string text = cat("sequence ", record.sequence, "\nstate ", record.waiting ? "waiting" : "working", "\nkind ",
                           record.kind, "\nbytes ", record.bytes, "\nphase ", record.phase, "\nunit ", record.unit,
                           "\nalive ", now_ms(), "\ntime ", record.time_ms, '\n');
    text.resize(kRecordBytes, '\n');
    return text;
}

std::optional<Record> read_record(const std::filesystem::path& path) {
    std::ifstream file(path);
    Record record;
    std::string line;
    bool complete = false;
    while (std::getline(file, line) && !line.empty()) {
        const auto blank = line.find(' ');
        if (blank == std::string::npos) return std::nullopt;
        const std::string key = line.substr(0, blank);
        const std::string value = line.substr(blank + 1);
        if (key == "sequence") record.sequence = std::atoll(value.c_str());
        if (key == "state") record.waiting = value == "waiting";
        if (key == "kind") record.kind = value;
        if (key == "bytes") record.bytes = std::atoll(value.c_str());
        if (key == "phase") record.phase = value;
        if (key == "unit") record.unit = value;
        if (key == "alive") record.alive_ms = std::atoll(value.c_str());
        if (key == "time") record.time_ms = std::atoll(value.c_str());
        complete = key == "time";
    }
    return complete ? std::optional(record) : std::nullopt;
}

// Some file systems show a record while it is being written.
std::optional<Record> read_record_patiently(const std::filesystem::path& path) {
    for (int tries = 0; tries < 5; ++tries) {
        if (auto record = read_record(path)) return record;
        std::this_thread::sleep_for(milliseconds(20));
    }
    return std::nullopt;
}

std::filesystem::path record_path(const std::filesystem::path& directory, int rank) {
    std::array<char, 32> name{};
    std::snprintf(name.data(), name.size(), "rank-%04d.record", rank);
    return directory / name.data();
}

}  // namespace

class Watchdog::Records {
public:
    Records(int rank, int size, std::filesystem::path directory, milliseconds deadline)
        : rank_(rank), size_(size), directory_(std::move(directory)), deadline_(deadline) {
        mine_.kind.reserve(kNameBytes);
        std::filesystem::create_directories(directory_);
        const auto path = record_path(directory_, rank_);
        file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (file_ < 0 || !touch_and_write()) {
            const std::string reason = std::strerror(errno);
            if (file_ >= 0) ::close(file_);
            throw IoError(
                cat("can't write ", path.string(), " (", reason, "). Check the run directory's disk and rights."));
        }
    }

    ~Records() {
        {
            const std::lock_guard lock(stop_mutex_);
            stop_ = true;
        }
        stop_signal_.notify_all();
        if (thread_.joinable()) thread_.join();
        ::close(file_);
    }

    void start() {
        thread_ = std::thread([this] { watch(); });
    }

    template <class Change>
    void change(Change&& apply) {
        const std::lock_guard lock(mutex_);
        apply(mine_);
        mine_.time_ms = now_ms();
    }

private:
    bool touch_and_write() {
        change([](Record&) {});
        return write();
    }

    bool write() {
        const std::string text = format(snapshot());
        return ::pwrite(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
    }

    Record snapshot() {
        const std::lock_guard lock(mutex_);
        return mine_;
    }

    void watch() {
        const auto period = std::min<milliseconds>(milliseconds(1000), deadline_ / 10 + milliseconds(1));
        std::unique_lock lock(stop_mutex_);
        while (!stop_signal_.wait_for(lock, period, [this] { return stop_; })) {
            write();  // a full disk must not end a run that goes well
            const Record mine = snapshot();
            if (!mine.waiting || now_ms() - mine.time_ms < deadline_.count()) continue;
            if (const auto verdict = judge(mine)) end(*verdict);
        }
    }

    // Who is to blame, or nothing while those behind still show signs of life.
    std::optional<std::string> judge(const Record& mine) {
        std::string blame;
        for (int r = 0; r < size_; ++r) {
            if (r == rank_) continue;
            const auto record = read_record_patiently(record_path(directory_, r));
            if (!record) {
                blame += cat(blame.empty() ? "" : "; ", "the record of rank ", r, " can't be read");
                continue;
            }
            const bool behind =
                record->sequence < mine.sequence || (record->sequence == mine.sequence && !record->waiting);
            const std::int64_t silent_ms = now_ms() - record->time_ms;
            if (const std::int64_t frozen_ms = now_ms() - record->alive_ms; frozen_ms > deadline_.count() / 2) {
                blame += cat(blame.empty() ? "" : "; ", "rank ", r, " gives no sign of life: phase ", record->phase,
                             ", unit ", record->unit, ", ", record->waiting ? "in " : "last collective ", record->kind,
                             ", its process or node stands still since ", frozen_ms / 1000, " s");
                continue;
            }
            if (behind && silent_ms < deadline_.count()) return std::nullopt;
            if (!behind) continue;
            blame += cat(blame.empty() ? "" : "; ", "rank ", r, " is behind: phase ", record->phase, ", unit ",
                         record->unit, ", ", record->waiting ? "in " : "last collective ", record->kind,
                         ", silent for ", silent_ms / 1000, " s");
        }
        if (blame.empty())
            blame = "all ranks are in this collective, or ahead of this one: the network or a node hangs";
        return blame;
    }

    [[noreturn]] void end(const std::string& blame) {
        const Record mine = snapshot();
        const std::string text =
            cat("tdrm: rank ", rank_, " has waited ", (now_ms() - mine.time_ms) / 1000, " s in collective ",
                mine.sequence, " (", mine.kind, ", ", mine.bytes, " bytes, phase ", mine.phase, "); ", blame,
                " (the job would hang). Look at that rank's node, then start the same command again; it resumes.\n");
        // One write: several ranks may report at once.
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
        ::_exit(static_cast<int>(ExitCode::comm));
    }

    const int rank_;
    const int size_;
    const std::filesystem::path directory_;
    const milliseconds deadline_;
    int file_ = -1;
    std::mutex mutex_;
    Record mine_;
    std::mutex stop_mutex_;
    std::condition_variable stop_signal_;
    bool stop_ = false;
    std::thread thread_;
};

Watchdog::Watchdog(Communicator& ranks, const std::filesystem::path& directory, WatchdogOptions options)
    : ranks_(ranks) {
    records_ = ranks.agree("opening the watchdog's records", [&] {
        return std::make_unique<Records>(ranks.rank(), ranks.size(), directory, options.deadline);
    });
    // Only now no record is left from an earlier run.
    records_->start();
    ranks.watch(this);
}

Watchdog::~Watchdog() { ranks_.watch(nullptr); }

void Watchdog::phase(std::string_view name) {
    records_->change([&](Record& record) {
        record.phase = one_line(name);
        record.unit = "none";
    });
}

void Watchdog::unit(std::string_view name) {
    records_->change([&](Record& record) { record.unit = one_line(name); });
}

void Watchdog::enter(const char* kind, std::size_t bytes) {
    records_->change([&](Record& record) {
        ++record.sequence;
        record.waiting = true;
        record.kind = kind;
        record.bytes = static_cast<std::int64_t>(bytes);
    });
}

void Watchdog::leave() {
    records_->change([](Record& record) { record.waiting = false; });
}

}  // namespace tdrm::comm
