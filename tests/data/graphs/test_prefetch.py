"""Making the next item of a series while the present one is used."""

import threading

import pytest

from raysweep.data.graphs.prefetch import prefetched


def test_items_come_in_their_order_made_by_one_other_thread():
    makers = []

    def series():
        for number in range(20):
            makers.append(threading.current_thread())
            yield number

    assert list(prefetched(series())) == list(range(20))
    assert len(set(makers)) == 1
    assert makers[0] is not threading.current_thread()


def test_the_next_item_is_made_while_the_present_one_is_used():
    made = threading.Event()

    def series():
        yield "first"
        made.set()
        yield "second"

    items = prefetched(series())
    assert next(items) == "first"
    assert made.wait(timeout=10)  # though nobody has asked for the second
    assert next(items) == "second"


def test_an_error_comes_where_the_item_would_have_come():
    def series():
        yield 1
        raise KeyError("torn")

    items = prefetched(series())
    assert next(items) == 1
    with pytest.raises(KeyError, match="torn"):
        next(items)


def test_no_thread_is_left_when_the_series_is_given_up():
    before = threading.active_count()
    items = prefetched(iter(range(1000)))
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before
