// Made by make_golden.py with scikit-learn 1.9.1, statsmodels 0.15.0.
#pragma once

#include <vector>

namespace tdrm::eval::golden {

inline const std::vector<double> kPrediction{
    0.5108, 0.942,  0.1482, 0.942,  0.3148, 0.4226, 0.8244, 0.4128, 0.55,   0.0404, 0.746,  0.5402,
    0.3344, 0.7852, 0.305,  0.452,  0.1384, 0.403,  0.207,  0.2658, 0.746,  0.2854, 0.4912, 0.9714,
    0.9518, 0.7166, 0.5402, 0.2854, 0.1678, 0.9616, 0.5206, 0.1286, 0.6186, 0.7754, 0.6088, 0.9126,
    0.0502, 0.5304, 0.4618, 0.0698, 0.6382, 0.844,  0.5892, 0.2658, 0.8342, 0.5108, 0.5108, 0.746,
    0.158,  0.8146, 0.6774, 0.7852, 0.1972, 0.795,  0.1972, 0.0894, 0.8538, 0.8538, 0.8734, 0.4716};
inline const std::vector<double> kTruth{0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0,
                                        1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0,
                                        0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0,
                                        0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0};
inline constexpr double kBrier = 0.13940812000000002;
inline constexpr double kLogLoss = 0.43329917100178517;
inline constexpr double kAuc = 0.94993894993895;
inline const std::vector<double> kBinTruth{0.0, 0.0, 0.0625, 0.6666666666666666, 0.9230769230769231};
inline const std::vector<double> kBinPrediction{0.12592727272727272, 0.28295000000000003, 0.49487499999999995,
                                                0.7198666666666668, 0.8907384615384616};
inline constexpr double kEce = 0.19376000000000004;
inline constexpr double kExplainedVariance = 0.5292340403418803;
inline const std::vector<double> kMean95{0.22829377676260593, 0.47170622323739403};
inline const std::vector<double> kWilson7Of20{0.18119182410108203, 0.5671457233147638};
inline const std::vector<double> kWilson0Of20{0.0, 0.1611251580528194};
inline const std::vector<double> kWilson20Of20{0.8388748419471804, 0.9999999999999999};

}  // namespace tdrm::eval::golden
