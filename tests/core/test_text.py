"""Text that is too wide for a terminal is broken where it reads well."""

from hypothesis import given
from hypothesis import strategies as st

from raysweep.core.text import amount, columns, fitted, knobs, rounded, scaled, short

TABLE = columns([
    ("family", "points", "γ envelope", "a (N* ~ C^a)", "status"),
    ("mpnn", "12", "0.2 [0.1, 0.3]", "0.5 [0.4, 0.6]", "ok"),
    ("tensor-l2", "8", "1.294 [0, 5.799]", "-", "too few points"),
])  # fmt: skip


def test_what_fits_stays() -> None:
    assert fitted(TABLE, 72) == TABLE
    assert fitted(TABLE, 0) == TABLE, "a terminal that does not know its width"


def test_a_wide_table_becomes_several_that_repeat_the_first_column() -> None:
    assert fitted(f"A headline.\n\n{TABLE}", 41).split("\n") == [
        "A headline.",
        "",
        "family     points  γ envelope",
        "mpnn       12      0.2 [0.1, 0.3]",
        "tensor-l2  8       1.294 [0, 5.799]",
        "",
        "family     a (N* ~ C^a)    status",
        "mpnn       0.5 [0.4, 0.6]  ok",
        "tensor-l2  -               too few points",
    ]
    assert fitted(columns([("elements", "H C N O F"), ("licence", "whoever uses it names us")]), 30).split("\n") == [
        "elements  H C N O F",
        "licence   whoever uses it",
        "          names us",
    ]


def test_prose_breaks_between_words_and_paths_stay_whole() -> None:
    path = "/a/folder/with/a/long/name/that/somebody/copies/report.html"
    assert fitted(f"report: {path} (2 figures beside it)", 30).split("\n") == [
        "report:",
        f"  {path}",
        "  (2 figures beside it)",
    ]


@given(
    st.lists(
        st.lists(st.from_regex(r"[a-z0-9.]{1,8}", fullmatch=True), min_size=5, max_size=5), min_size=2, max_size=6
    ),
    st.integers(20, 60),
)
def test_no_cell_is_lost_and_no_line_too_long(rows: list[list[str]], width: int) -> None:
    broken = fitted(columns(rows), width)
    assert max(map(len, broken.split("\n"))) <= width
    words = broken.split()
    assert all(words.count(cell) >= sum(row.count(cell) for row in rows) for row in rows for cell in row)


def test_numbers_have_few_digits_and_a_sign_where_they_are_unknown():
    assert [short(5.7612e11), short(0.00123456, 4)] == ["5.76e+11", "0.001235"]
    assert [short(None), short(None, unknown="-")] == ["?", "-"]
    assert [amount(48123.4), amount(999_999.4), amount(1e6), amount(None)] == ["48123", "999999", "1e+06", "?"]
    assert [rounded(0.00123456, 4), rounded(123456.0, 2)] == [0.001235, 120000.0]


def test_scaled_numbers_go_over_to_powers_of_ten_beyond_the_millions():
    values = [3.2071, 999.0, 48123.0, -48123.0, 1.2e6, 5.7612e11, 1e-7, None, float("nan")]
    assert [scaled(v) for v in values] == ["3.21", "999", "48.1 k", "-48.1 k", "1.2 M", "5.76e11", "1e-7", "–", "–"]


def test_a_size_is_shown_as_its_knobs_in_their_order():
    assert knobs({"width": 32, "depth": 2, "heads": True}) == "width=32 depth=2 heads=True"
