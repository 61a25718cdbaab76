"""Stores what is published to the topic ``readings`` in a SQLite file, many messages in one transaction.

export NSQ_URL=nsqd://127.0.0.1:4150
cd client/examples && DATABASE=readings.db nsq run to_database:app
seq 1000 | sed 's/.*/{"sensor": "a", "value": &}/' | nsq pub readings -

A batch is stored as a whole or not at all, and its messages are finished after that. One that comes a second
time, as its FIN was lost, is found by its ID and changes nothing.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from nsqclient import App, BatchOf, Message, from_env


@dataclass
class Reading:
    """One message."""

    sensor: str
    value: float


app = App(from_env())


def connect() -> sqlite3.Connection:
    """The database; each thread needs a connection of its own."""
    return sqlite3.connect(os.environ.get("DATABASE", "readings.db"))


@app.on_startup
def create_table() -> None:
    """Before the first message comes."""
    with connect() as database:
        database.execute("CREATE TABLE IF NOT EXISTS readings (id TEXT PRIMARY KEY, sensor TEXT, value REAL)")
    database.close()


@app.on("readings", channel="database", batch=BatchOf(500, linger=0.5), dead_letter="readings.dead")
def store(batch: list[Reading], messages: list[Message]) -> None:
    """A plain function: the database blocks, so it runs in a thread."""
    rows = [
        (f"{message.node} {message.id}", reading.sensor, reading.value)
        for message, reading in zip(messages, batch, strict=True)
    ]
    database = connect()
    try:
        with database:  # a transaction
            database.executemany("INSERT OR IGNORE INTO readings VALUES (?, ?, ?)", rows)
    finally:
        database.close()
