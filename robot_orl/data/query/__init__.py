"""The query language over episodes, of `where=...` in training and in the dataset tools.

    query      = clause { "or" clause }               clause = factor { "and" factor }
    factor     = "not" factor | "(" query ")" | test
    test       = FIELD                                 success, success_any
               | FIELD ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) VALUE
               | FIELD [ "not" ] "in" "(" VALUE { "," VALUE } ")"
               | FIELD "has" NAME                      who acted; for text: contains
               | FIELD "is" [ "not" ] ( "known" | "unknown" )
    VALUE      = 12, 0.5, 'text', "text", true, false

Unknown is neither true nor false (Kleene): a comparison with it is unknown, so is its negation, and only
what is true is selected. `operator` and `end_reason` that say 'unknown' are unknown, and so is who acted in
episodes of format version 1, which do not tell: there `actor has ...` selects nothing.
"""

from dataclasses import dataclass

from robot_orl.data.query.fields import FIELDS, Test, value_of
from robot_orl.data.query.parser import Parser
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord

__all__ = ["FIELDS", "Query", "parse", "select", "value_of"]


@dataclass(frozen=True)
class Query:
    """A question about an episode. Make one with `parse`."""

    text: str
    evaluate: Test

    def matches(self, record: EpisodeRecord) -> bool:
        """Whether it is true of the episode; not where it is unknown."""
        return self.evaluate(record) is True


def parse(text: str) -> Query:
    """Raises: UsageError: one line that says at which column, and what would be valid there."""
    return Query(text, Parser(text).query())


def select(dataset: Dataset, text: str) -> Dataset:
    """The dataset with only those of its episodes in use of which the query is true; nothing is copied."""
    query = parse(text)
    return dataset.choose(record for record in dataset.episodes if query.matches(record))
