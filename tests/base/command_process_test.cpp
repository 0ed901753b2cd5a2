// What a pool's processes are given by this program, and what becomes of them.
#include <pthread.h>
#include <sys/resource.h>

#include <csignal>

#include "command_fixture.hpp"

namespace tdrm {
namespace {

using CommandProcess = Command;

TEST_F(CommandProcess, OneThatClosesItsInputEarlyIsNoSignalForUs) {
    CommandPool pool(python(R"(line = os.read(0, 64)
os.close(0)
print('{"id": %d, "score": 1}' % int(line.split(b":")[1].split(b",")[0]), flush=True)
)"));
    sigset_t before, after, pending;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    EXPECT_EQ(scores(pool, numbers(5, std::string(300'000, 'a'))), std::vector<double>(5, 1.0));
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    sigpending(&pending);
    EXPECT_EQ(sigismember(&after, SIGPIPE), sigismember(&before, SIGPIPE));
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST_F(CommandProcess, OneThatReadsNoMoreGetsNoMore) {
    const CommandOptions options = python(R"(line = os.read(0, 64)
os.close(0)
print('{"id": %d, "score": 1}' % int(line.split(b":")[1].split(b",")[0]), flush=True)
time.sleep(1000)
)");
    CommandPool pool(shell("exec " + options.run));  // else the shell has the input, too
    // One at a time: an item behind it would wait for the deadline.
    const auto items = numbers(1, std::string(300'000, 'a'));
    for (int call = 0; call < 3; ++call) EXPECT_EQ(scores(pool, items), std::vector<double>{1});
    EXPECT_EQ(pool.failures(), 0);
    EXPECT_THROW((void)pool.ask(items, [] { throw Preempted("it would sleep on"); }), Preempted);
}

TEST_F(CommandProcess, TheGroupEndsWithThePool) {
    {
        CommandPool pool(shell(open_life() + "sleep 1000 & sh -c 'sleep 1000; :' & " + python(kGood).run + "; :"));
        EXPECT_EQ(scores(pool, numbers(3)), doubled(3));
    }
    EXPECT_TRUE(has_ended());
}

TEST_F(CommandProcess, TheGroupEndsWhenThisProgramIsKilled) {
    const CommandOptions options = shell(open_life() + "sleep 1000 & echo >&9; while :; do sleep 1000; done");
    const pid_t child = ::fork();
    if (child == 0) {
        CommandPool pool(options);
        (void)scores(pool, numbers(1));
        std::_Exit(1);
    }
    EXPECT_TRUE(has_begun());
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_TRUE(has_ended());
}

TEST_F(CommandProcess, ItEndsItselfWhenItsInputDoes) {
    {
        CommandPool pool(python(std::string(kGood) + "note('done')\n"));
        EXPECT_EQ(scores(pool, numbers(3)), doubled(3));
    }
    EXPECT_EQ(notes(), "done\n");
}

TEST_F(CommandProcess, ItHasItsOwnDescriptorsAndNoOthers) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    const auto open_here = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); };
    const int inherited = ::open("/dev/null", O_RDONLY);
    const auto before = open_here();
    {
        CommandOptions options = python(R"(def is_open(fd):
    try: return os.fstat(fd) and True
    except OSError: return False
for item in items: reply(item, open=[fd for fd in range(200) if is_open(fd)])
)");
        options.workers = 3;
        CommandPool pool(options);
        for (const json& reply : pool.ask(numbers(12))) EXPECT_EQ(reply.at("open"), (std::vector<int>{0, 1, 2}));
        EXPECT_EQ(open_here(), before + 9);
        EXPECT_HAS(message(says("nonsense\n")), "nonsense");
        EXPECT_HAS(message<ConfigError>(shell("/no/such/judge")), "can't be run");
    }
    EXPECT_EQ(open_here(), before);
    ::close(inherited);
#else
    GTEST_SKIP() << "this C library closes no descriptors of others";
#endif
}

TEST_F(CommandProcess, SignalsAreHandledByDefault) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    for (const int signal : {SIGTERM, SIGUSR1, SIGCHLD}) sigaddset(&blocked, signal);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const auto old = ::signal(SIGXFSZ, SIG_IGN);
    {
        CommandPool pool(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status >" + (folder / "notes").string() + "; " +
                               python(kGood).run));
        EXPECT_EQ(scores(pool, numbers(3)), doubled(3));
    }
    ::signal(SIGXFSZ, old);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    std::istringstream lines(notes());
    std::string name;
    std::uint64_t signals = 0;
    while (lines >> name >> std::hex >> signals)
        EXPECT_EQ(signals & ~(std::uint64_t{3} << 31), 0U) << name << " (but 32 and 33, which are the C library's)";
    EXPECT_EQ(name, "SigIgn:");
}

TEST_F(CommandProcess, OneThatTheSystemDoesNotGrantIsAnError) {
    const int next = ::dup(STDIN_FILENO);
    ::close(next);
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    for (int files = 1; files < 6; ++files) {
        CommandPool pool(python(kGood));
        const rlimit few{static_cast<rlim_t>(next + files), before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &few);
        try {
            (void)pool.ask(numbers(3));
            ADD_FAILURE() << "it takes six";
        } catch (const IoError& error) {
            ::setrlimit(RLIMIT_NOFILE, &before);  // sanitizers need a pipe to look at an error
            EXPECT_HAS(std::string(error.what()), "can't make a pipe for a command (Too many open files)");
        }
        ::setrlimit(RLIMIT_NOFILE, &before);
        EXPECT_EQ(scores(pool, numbers(3)), doubled(3));
    }
}

}  // namespace
}  // namespace tdrm
