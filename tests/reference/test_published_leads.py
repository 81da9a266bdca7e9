"""Published fits of lead times, recomputed from the published steps, and what they hide.

Tolerances are half a unit of the last digit printed.
"""

import numpy as np
import pytest

from reference.published_leads import DYCK, MODULAR, SCAN
from spectraledge.series import (
    LeadTimes,
    exponent_interval,
    grouped_power_law,
    lead_times,
    power_law,
    shuffled_onsets,
)


def modular() -> dict[str, LeadTimes]:
    _, seeds, onsets, grok_50, grok_90, grok_stop = zip(*MODULAR)
    groks = {"grok_50": grok_50, "grok_90": grok_90, "grok_stop": grok_stop}
    return lead_times(onsets, groks, watched=[s + 1000 for s in grok_stop], units=seeds)


@pytest.mark.parametrize(
    ("table", "exponent", "coefficient", "r_squared", "error", "count"),
    [(SCAN, 1.180, 0.149, 0.990, 0.04, 11), (DYCK, 1.132, 0.239, 0.908, 0.10, 15)],
)
def test_the_published_power_laws(table, exponent, coefficient, r_squared, error, count):
    _, groks, onsets = table
    fit = power_law(groks, groks - onsets, method="least_squares")
    assert fit.exponent == pytest.approx(exponent, abs=5e-4)
    assert fit.coefficient == pytest.approx(coefficient, abs=5e-4)
    assert fit.r_squared == pytest.approx(r_squared, abs=5e-4)
    assert fit.standard_error == pytest.approx(error, abs=5e-3)
    assert (fit.count, fit.dropped) == (count, 0)


@pytest.mark.parametrize(("table", "exponent"), [(SCAN, 1.132), (DYCK, 1.08)])
def test_the_published_laws_of_means_by_learning_rate(table, exponent):
    lr, groks, onsets = table
    means = np.array([[a[lr == x].mean() for x in np.unique(lr)] for a in (groks, onsets)])
    fit = power_law(means[0], means[0] - means[1], method="least_squares")
    assert fit.exponent == pytest.approx(exponent, abs=5e-3)


def test_one_run_makes_the_exponent_of_dyck():
    _, groks, onsets = DYCK
    leads = groks - onsets
    # The interval of the robust slope still holds 1, a lead proportional to the grok step.
    assert power_law(groks, leads, method="theil_sen").exponent < 1.05
    kept = groks != 1200
    assert power_law(groks[kept], leads[kept], method="least_squares").exponent < 1


def test_shuffled_onsets_explain_the_exponents():
    for table in (SCAN, DYCK):
        lr, groks, onsets = table
        found = shuffled_onsets(groks, onsets, lr)
        low, high = np.nanquantile(found.exponents, [0.01, 0.99])
        assert low <= found.observed.exponent <= high
        # R² above 0.85 in nearly all draws, without any relation within a learning rate.
        assert np.nanquantile(found.r_squareds, 0.05) > 0.85


def test_lead_statistics_of_modular_arithmetic():
    leads = modular()
    assert leads["grok_90"].leads.mean() == pytest.approx(1116.7, abs=0.05)
    assert leads["grok_50"].leads.mean() == pytest.approx(708, abs=0.5)
    assert leads["grok_stop"].leads.mean() == pytest.approx(1483, abs=0.5)
    assert leads["grok_90"].normalised(by="grok").mean() == pytest.approx(0.41, abs=0.02)


def test_the_published_sign_test_and_what_three_seeds_can_say():
    found = modular()["grok_90"].sign_test(missed="dropped")
    assert found.one_sided == pytest.approx(2**-12)
    assert (found.units, found.by_unit) == (3, 0.25)
    half = modular()["grok_50"].sign_test()
    assert (half.positive, half.negative, half.tied) == (10, 0, 2)


def test_within_one_learning_rate_leads_hardly_follow_grokking():
    leads = modular()["grok_90"]
    fit = power_law(leads.groks, leads.leads, method="least_squares")
    assert fit.exponent == pytest.approx(0.36, abs=5e-3)
    assert fit.r_squared == pytest.approx(0.06, abs=5e-3)
    stop = modular()["grok_stop"]
    fit = power_law(stop.groks, stop.leads, method="least_squares")
    assert fit.exponent == pytest.approx(0.31, abs=5e-3)
    assert fit.r_squared == pytest.approx(0.02, abs=5e-3)


def test_onsets_against_groks_of_dyck():
    lr, groks, onsets = DYCK
    found = grouped_power_law(groks, onsets, lr)
    # 0.73 is published (R² 0.56); the published table itself gives this.
    assert found.pooled.exponent == pytest.approx(0.762, abs=5e-4)
    assert found.pooled.r_squared == pytest.approx(0.458, abs=5e-4)
    # Within a learning rate not even the sign is known.
    assert found.within.exponent - 2 * found.within.standard_error < 0
    assert found.within.exponent + 2 * found.within.standard_error > 0
    interval = exponent_interval(groks, onsets, np.arange(15), method="theil_sen")
    assert interval.lower < interval.centre < interval.upper
