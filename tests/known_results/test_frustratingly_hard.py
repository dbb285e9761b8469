"""Published figures of Yang et al. (2020), "NAS evaluation is frustratingly hard", Table 1.

Means are (random sampling, method) test accuracies in percent, recomputed from the accuracies that
the authors published and rounded to two decimals; the relative improvements are as printed.
"""

import pytest

from nas.statistics import relative_improvement

DATASETS = ("CIFAR10", "CIFAR100", "SPORT8", "MIT67", "FLOWERS102")
PRINTED = {
    "DARTS": (0.32, 0.23, -0.13, 0.10, 0.25),
    "PDARTS": (0.52, 1.20, 0.51, 1.19, 0.20),
    "NSGANET": (-0.48, 1.37, 0.43, 2.00, 1.47),
    "ENAS": (0.01, -3.44, 0.67, 0.13, 0.47),
    "CNAS": (0.74, -0.89, -1.06, -0.66, -2.48),
    "MANAS": (0.18, -0.20, 0.33, 1.48, 0.70),
    "StacNAS": (0.43, 2.87, 0.38, 0.05, -0.16),
    "NAO": (0.44, -0.01, -2.05, -1.53, -0.13),
}
MEANS = {
    "DARTS": ((96.92, 97.23), (82.18, 82.37), (93.99, 93.87), (70.66, 70.73), (96.11, 96.30)),
    "PDARTS": ((96.62, 97.12), (80.84, 82.46), (91.98, 92.45), (69.87, 70.70), (94.85, 95.09)),
    "NSGANET": ((96.64, 96.18), (76.27, 77.31), (92.14, 92.53), (68.82, 70.20), (93.92, 95.30)),
    "ENAS": ((95.84, 95.85), (80.80, 78.02), (93.91, 94.54), (70.96, 71.05), (96.11, 96.56)),
    "CNAS": ((93.82, 94.51), (76.34, 75.66), (89.23, 88.29), (69.89, 69.43), (93.36, 91.04)),
    "MANAS": ((97.01, 97.18), (82.24, 82.07), (94.15, 94.46), (70.32, 71.36), (95.91, 96.57)),
    "StacNAS": ((96.98, 97.39), (81.26, 83.59), (94.14, 94.50), (71.09, 71.13), (96.47, 96.31)),
    "NAO": ((96.46, 96.88), (81.70, 81.69), (88.05, 86.24), (66.10, 65.09), (93.83, 93.71)),
}
# Where the paper's table and the published accuracies disagree, the value that the accuracies give.
CORRECTED = {
    ("PDARTS", "CIFAR100"): 2.00,  # the paper prints 1.20, the authors' notebook 2
    ("DARTS", "FLOWERS102"): 0.20,  # the two columns are exchanged in print
    ("PDARTS", "FLOWERS102"): 0.25,
}
ROUNDING = 0.021  # two means of at least 65 rounded to 0.01: 0.0156; the printed figure: 0.005


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", PRINTED)
def test_relative_improvement_of_the_published_means_is_the_published_figure(method, dataset):
    column = DATASETS.index(dataset)
    random, searched = MEANS[method][column]
    expected = CORRECTED.get((method, dataset), PRINTED[method][column])
    assert relative_improvement([searched], [random]) == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize(("method", "dataset"), CORRECTED)
def test_the_misprints_are_misprints(method, dataset):
    column = DATASETS.index(dataset)
    random, searched = MEANS[method][column]
    assert abs(relative_improvement([searched], [random]) - PRINTED[method][column]) > ROUNDING
