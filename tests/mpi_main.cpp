// main of tests that run under mpirun. Only rank 0 prints passes; the verdict is the worst of all ranks.
#include <gtest/gtest.h>
#include <mpi.h>

#ifdef __SANITIZE_ADDRESS__
// Open MPI unloads its plug-ins at the end; what they leaked could then not be told from leaks of ours by name.
extern "C" int dlclose(void* /*handle*/) { return 0; }
#endif

namespace {

class FailuresOnly : public testing::EmptyTestEventListener {
    void OnTestPartResult(const testing::TestPartResult& result) override {
        if (result.failed()) {
            int rank = 0;
            MPI_Comm_rank(MPI_COMM_WORLD, &rank);
            std::fprintf(stderr, "[rank %d] %s:%d: %s\n", rank, result.file_name(), result.line_number(),
                         result.message());
        }
    }
};

// Keeps ranks together, so that a failed test can't shift the collectives of the next one.
class Barriers : public testing::EmptyTestEventListener {
    void OnTestStart(const testing::TestInfo&) override { MPI_Barrier(MPI_COMM_WORLD); }
    void OnTestEnd(const testing::TestInfo&) override { MPI_Barrier(MPI_COMM_WORLD); }
};

}  // namespace

int main(int argc, char** argv) {
    int granted = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &granted);
    testing::InitGoogleTest(&argc, argv);
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    if (rank != 0) {
        delete listeners.Release(listeners.default_result_printer());
        listeners.Append(new FailuresOnly);
    }
    listeners.Append(new Barriers);
    int verdict = RUN_ALL_TESTS();
    if (testing::UnitTest::GetInstance()->test_to_run_count() == 0) verdict = 1;
    MPI_Allreduce(MPI_IN_PLACE, &verdict, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return verdict;
}
