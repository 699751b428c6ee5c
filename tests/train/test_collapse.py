"""When embeddings are called collapsed."""

from graphrise.train.collapse import ROWS, SPREAD, Collapse


def seen(spreads):
    collapse = Collapse()
    for step, spread in enumerate(spreads):
        collapse.see(spread, step)
    return collapse


def test_it_takes_so_many_rows_on_end():
    low, high = 0.5 * SPREAD, 2 * SPREAD
    assert seen([low] * (ROWS - 1)).note is None
    assert seen(([low] * (ROWS - 1) + [high]) * 3).note is None
    collapse = seen([high] + [low] * ROWS)
    assert collapse.now
    assert collapse.note is not None
    assert f"at step {ROWS} " in collapse.note
    assert "lower edges.alpha or train.lr" in collapse.note


def test_the_first_note_stays_when_it_is_over():
    collapse = seen([0.0] * (ROWS + 3) + [1.0])
    assert not collapse.now
    assert collapse.note is not None
    assert f"at step {ROWS - 1} " in collapse.note
