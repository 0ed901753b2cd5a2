"""Writes golden.hpp: metrics of other people's implementations. python make_golden.py > golden.hpp

Needs scikit-learn and statsmodels; the tests themselves need no Python.
"""
import numpy as np
import sklearn
import statsmodels
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, explained_variance_score, log_loss, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(1)
prediction = (rng.uniform(0, 1, 60).round(2) * 0.98 + 0.011).round(4)  # with equals, none on the edge of a bin
truth = (rng.uniform(0, 1, 60) < prediction**2).astype(float)
true_share, mean_prediction = calibration_curve(truth, prediction, n_bins=5)
counts = np.histogram(prediction, np.linspace(0, 1, 6))[0]
normal = stats.norm.interval(0.95, truth.mean(), stats.sem(truth))


def array(name, values):
    text = ", ".join(repr(float(v)) for v in values)
    print(f"inline const std::vector<double> {name}{{{text}}};")


def number(name, value):
    print(f"inline constexpr double {name} = {float(value)!r};")


print(f"// Made by make_golden.py with scikit-learn {sklearn.__version__}, statsmodels {statsmodels.__version__}.")
print("#pragma once\n\n#include <vector>\n\nnamespace tdrm::eval::golden {\n")
array("kPrediction", prediction)
array("kTruth", truth)
number("kBrier", brier_score_loss(truth, prediction))
number("kLogLoss", log_loss(truth, prediction))
number("kAuc", roc_auc_score(truth, prediction))
array("kBinTruth", true_share)
array("kBinPrediction", mean_prediction)
number("kEce", (counts * abs(true_share - mean_prediction)).sum() / 60)
number("kExplainedVariance", explained_variance_score(truth, prediction))
array("kMean95", normal)
array("kWilson7Of20", proportion_confint(7, 20, method="wilson"))
array("kWilson0Of20", proportion_confint(0, 20, method="wilson"))
array("kWilson20Of20", proportion_confint(20, 20, method="wilson"))
print("\n}  // namespace tdrm::eval::golden")
