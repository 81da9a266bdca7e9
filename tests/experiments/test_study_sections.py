"""The first paragraphs of a page: claims by what became of them, and by subject."""

from spectraledge.experiments.study_sections import NOT_RUN, answer_words
from spectraledge.report import Verdict


def verdict(claim, status, observed="0.5"):
    return Verdict(claim, "paper", observed, status, "rule")


def test_claims_of_one_subject_are_told_by_status():
    found = [verdict("A", "fails"), verdict("B: c", "holds"), verdict("D", "undecided", NOT_RUN)]
    assert answer_words(found, True) == ("These hold: B: c. These fail: A.\n\n1 wait for runs.")
    assert answer_words(found, False) == "Nothing was run yet."


def test_what_subjects_agree_about_comes_first():
    found = [
        verdict("Dyck: a", "holds"),
        verdict("Dyck: b", "fails"),
        verdict("SCAN: b", "fails"),
        verdict("SCAN: a", "undecided"),
        verdict("of all", "holds"),
    ]
    assert answer_words(found, True).split("\n\n") == [
        "All of Dyck, SCAN. These fail: b.",
        "Dyck. These hold: a.",
        "SCAN. Undecided: a.",
        "These hold: of all.",
    ]


def test_a_claim_that_one_subject_does_not_have_is_not_shared():
    found = [verdict("Dyck: a", "holds"), verdict("SCAN: b", "holds")]
    assert answer_words(found, True).split("\n\n") == [
        "Dyck. These hold: a.",
        "SCAN. These hold: b.",
    ]
