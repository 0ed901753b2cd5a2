// `tdrm check-model`: a Hugging Face folder against what another implementation computed with it.
#include <cstdio>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/reference_check.hpp"

namespace tdrm::app {

int check_model(const CheckModelRequest& request) {
    const auto cases = rollout::read_reference(request.reference);
    engine::use_device(request.device, request.products);
    const auto model = engine::load_pretrained(request.directory);
    const auto report = rollout::check_reference(*model, cases);
    const bool good = report.agrees(request.tolerance);
    if (report.logprobs + report.values + report.greedy_tokens == 0)
        throw DataError(cat(request.reference,
                            " says nothing about the model (there is nothing to compare). See `tdrm check-model "
                            "--help`."));
    const std::string what = report.values == 0     ? cat(report.logprobs, " log-probs")
                             : report.logprobs == 0 ? cat(report.values, " values")
                                                    : cat(report.logprobs, " log-probs and ", report.values, " values");
    std::printf("%zu cases: largest difference of %s %.3g (case %zu), RMS %.3g; %lld of %lld greedy tokens equal\n",
                cases.size(), what.c_str(), report.largest_difference, report.worst_case, report.rms(),
                static_cast<long long>(report.greedy_tokens - report.different_tokens),
                static_cast<long long>(report.greedy_tokens));
    for (const std::string& problem : report.problems) std::printf("  %s\n", problem.c_str());
    std::printf("%s %s (tolerance %g)\n", request.directory.c_str(),
                good ? "agrees with its reference" : "DIFFERS from its reference", request.tolerance);
    return good ? 0 : static_cast<int>(ExitCode::data);
}

}  // namespace tdrm::app
