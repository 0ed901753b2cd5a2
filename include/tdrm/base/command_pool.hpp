// A user's program that judges: processes that read items as JSON lines and write a reply to each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "tdrm/base/options.hpp"

namespace tdrm {

/// Bytes of a reply's line at most.
constexpr std::size_t kMaxReplyBytes = std::size_t{1} << 20;

struct CommandOptions {
    std::string run;       ///< for /bin/sh -c
    int workers = 1;       ///< processes, 1 to 1024; each takes three open files
    int window = 2;        ///< items that a process holds at once, at least 1
    Seconds deadline{30};  ///< above 0; of the item that a process holds longest
    int attempts = 2;      ///< at least 1

    void fields(Fields& f);
    /// What the ranges don't say, one sentence each; empty if there is nothing.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// Processes of one command. The protocol: the command reads a JSON object a line from its standard input, and writes a
/// JSON object a line to its standard output, with the `id` of the item that it replies to, in any order; blank lines
/// count for nothing. It goes on until its input ends, and then ends itself; whoever hasn't after five seconds is
/// killed. Its standard error is that of this program. Everything is local to the process that owns the pool.
///
/// A reply is taken from whichever process gives it, so it must depend on the item alone: then replies are the same
/// for any number of workers, ranks and restarts. The id is a name and no part of the item. It counts the items of this
/// pool from 0 on, through all calls of `ask`, so that a late second reply is never taken for that of another item.
///
/// A process has failed when it ends, or closes its output, while it holds items, and when its oldest item passes the
/// deadline. The time of an item runs while it is the oldest that its process holds: from when it was handed over, or
/// from the reply to the last one before it, whichever is later. So a command that works on one item after the other
/// has the whole deadline for each (the first one's includes its start), and one that hangs is found out after one
/// deadline. It stands still while this program is stopped or starved (more than a second
/// without a look at the clock counts as one).
///
/// A process that failed is killed with its group, and another one is started. The oldest item that it held counts as
/// the one that it failed at, and is asked once more, of a new process and alone, so that the blame is certain the
/// next time; the others go back to the queue. An item at which `attempts` processes have failed ends `ask`.
class CommandPool {
public:
    /// Told again and again while replies are waited for, at least once a second: a sign of life for a watchdog. What
    /// it throws ends `ask`.
    using Alive = std::function<void()>;
    /// Looks at a reply and throws DataError that says what is wrong with it ("there is no \"score\"").
    using Check = std::function<void(std::size_t item, const nlohmann::json& reply)>;

    /// Starts nothing: processes start when there is an item for them.
    /// @param seconds  a monotonic clock for deadlines; none = the system's
    explicit CommandPool(CommandOptions options, std::function<double()> seconds = {});
    ~CommandPool();
    CommandPool(const CommandPool&) = delete;
    CommandPool& operator=(const CommandPool&) = delete;

    /// Sends {"id": ..., the members of the item} for each item, in ASCII, and returns the reply to each, in the order
    /// of the items, which are objects without a member "id".
    /// @throws ConfigError if the shell finds no such command; DataError if a process fails `attempts` times at an
    /// item, or writes a line that is no reply: not a JSON object, with an id that it doesn't hold (unknown, or
    /// answered before), longer than kMaxReplyBytes, or refused by `check`; IoError if the system grants no process.
    /// After an error all processes are killed; the next `ask` starts others.
    [[nodiscard]] std::vector<nlohmann::json> ask(std::span<const nlohmann::json> items, const Alive& alive = {},
                                                  const Check& check = {});

    /// Processes that failed while they held items, so far.
    [[nodiscard]] std::int64_t failures() const;

private:
    class Processes;
    std::unique_ptr<Processes> processes_;
};

/// The number "score" of a reply. @throws DataError if there is none, or it isn't a finite number
[[nodiscard]] double score_of(const nlohmann::json& reply);
/// The list "scores" of a reply. @throws DataError if there is none, or it doesn't have `count` finite numbers
[[nodiscard]] std::vector<double> scores_of(const nlohmann::json& reply, std::size_t count);

}  // namespace tdrm
