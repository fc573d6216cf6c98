"""A repository of Feast with what a server answered: one view, one service, its rows in the online store.

Arguments: a folder, and a file with the answer to /get-online-features, every card of it a row.
"""

import json
import os
import sys
from datetime import datetime, timedelta, timezone

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

folder, path = sys.argv[1:3]
os.chdir(folder)
with open("feature_store.yaml", "w") as file:
    file.write(
        "project: bench\nprovider: local\nregistry: registry.db\n"
        "online_store: {type: sqlite, path: online.db}\n"
        "entity_key_serialization_version: 3\n"
    )
with open(path) as file:
    answer = json.load(file)
columns = {
    name: result["values"]
    for name, result in zip(answer["metadata"]["feature_names"], answer["results"])
}


def type_of(values):
    given = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in given):
        return String
    return Int64 if given and all(isinstance(value, int) for value in given) else Float64


frame = pd.DataFrame(columns)
types = {name: type_of(values) for name, values in columns.items()}
for name, kind in types.items():
    if kind == Float64:
        frame[name] = frame[name].astype("float64")
frame["event_timestamp"] = datetime.now(timezone.utc)
frame.to_parquet("fifty.parquet")
card = Entity(name="card", join_keys=["card"], value_type=ValueType.STRING)
fifty = FeatureView(
    name="fifty",
    entities=[card],
    ttl=timedelta(days=1),
    schema=[Field(name=name, dtype=kind) for name, kind in types.items()],
    source=FileSource(path="fifty.parquet", timestamp_field="event_timestamp"),
)
store = FeatureStore(".")
store.apply([card, fifty, FeatureService(name="fifty", features=[fifty])])
store.write_to_online_store("fifty", frame)
