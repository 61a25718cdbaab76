from __future__ import annotations

import pytest

from nsqadmin.history.snapshot import Rates, TopicNow
from nsqadmin.pages.listing import Column, Listing
from nsqadmin.pages.topics import COLUMNS


def _topic(name: str, depth: int = 0, channel_depth: int = 0) -> TopicNow:
    rates = Rates(published=depth, finished=channel_depth)
    return TopicNow(topic_name=name, depth=depth, channel_depth=channel_depth, rates=rates)


def parse(query: dict[str, str]) -> Listing[TopicNow]:
    return Listing.parse(query, COLUMNS)


def name_of(topic: TopicNow) -> str:
    return topic.topic_name


TOPICS = [_topic("b", 1, 50), _topic("Alpha", 9), _topic("c", 9), _topic("clicks", 2, 7)]


def _names(query: dict[str, str]) -> list[str]:
    return [topic.topic_name for topic in parse(query).arrange(TOPICS, name_of)]


def test_topics_come_by_name_whatever_their_case() -> None:
    assert _names({}) == ["Alpha", "b", "c", "clicks"]


def test_numbers_come_highest_first_and_equal_ones_by_name() -> None:
    assert _names({"sort": "depth"}) == ["Alpha", "c", "clicks", "b"]
    assert _names({"sort": "depth", "order": "asc"}) == ["b", "clicks", "Alpha", "c"]
    assert _names({"sort": "channels-depth"}) == ["b", "clicks", "Alpha", "c"]


def test_a_search_finds_parts_of_names_in_any_case() -> None:
    assert _names({"q": "C"}) == ["c", "clicks"]
    assert _names({"q": " ALP "}) == ["Alpha"]


@pytest.mark.parametrize("query", [{"sort": "nonsense"}, {"order": "sideways"}, {"sort": "topic"}])
def test_what_makes_no_sense_is_ignored(query: dict[str, str]) -> None:
    assert parse(query) == parse({})


@pytest.mark.parametrize("column", COLUMNS, ids=[column.key for column in COLUMNS])
def test_every_column_sorts_and_a_second_click_turns_it_round(column: Column[TopicNow]) -> None:
    clicked = parse({}) if column is COLUMNS[0] else parse(parse({}).query(column))
    assert (clicked.column, clicked.descending) == (column, column.numeric)
    assert sorted(map(column.value, TOPICS), reverse=column.numeric) == list(
        map(column.value, clicked.arrange(TOPICS, name_of))
    )
    again = parse(clicked.query(column))
    assert (again.column, again.descending) == (column, not column.numeric)


def test_a_click_keeps_the_search() -> None:
    assert parse({"q": "x"}).query(COLUMNS[1]) == {"q": "x", "sort": "in"}
    assert parse({"q": "x"}).query() == {"q": "x"}
