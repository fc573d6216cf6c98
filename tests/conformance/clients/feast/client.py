"""Feast's own client on a remote online store: each case prints one line of JSON, the last line their number.

Arguments: a folder for its registry, the address of the store, a key, and a key that may not read features.
"""

import json
import sys
import traceback
from datetime import datetime, timedelta, timezone

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.errors import (
    FeastError,
    FeastPermissionError,
    FeatureServiceNotFoundException,
    FeatureViewNotFoundException,
)
from feast.infra.online_stores.remote import RemoteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RegistryConfig, RepoConfig
from feast.types import Array, Float64, Int64, String, UnixTimestamp

folder, url, key, narrow_key = sys.argv[1:5]
count = 0


def case(work):
    """Runs at once; the docstring is its name."""
    global count
    count += 1
    failure = None
    try:
        work()
    except Exception:
        failure = traceback.format_exc(limit=-2).strip()
    print(json.dumps({"case": work.__doc__, "failure": failure}))


def must_equal(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def raises(kind, work, part=""):
    try:
        work()
    except kind as error:
        assert type(error) is kind, f"raised {type(error).__name__}"
        assert part in str(error), f"it says {error}"
        return
    raise AssertionError(f"raised nothing, wanted {kind.__name__}")


def store_with(token):
    config = RepoConfig(
        project="conformance",
        provider="local",
        registry=RegistryConfig(path=f"{folder}/registry.db"),
        online_store={"type": "remote", "path": url},
        auth={"type": "oidc", "token": token},
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def frame(name, columns):
    path = f"{folder}/{name}.parquet"
    pd.DataFrame({**columns, "event_timestamp": [datetime.now(timezone.utc)]}).to_parquet(path)
    return FileSource(path=path, timestamp_field="event_timestamp")


card = Entity(name="card", join_keys=["card_id"], value_type=ValueType.STRING)
shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
spend = FeatureView(
    name="spend",
    entities=[card],
    ttl=timedelta(days=1),
    schema=[
        Field(name="card_id", dtype=String),
        Field(name="n", dtype=Int64),
        Field(name="total", dtype=Float64),
        Field(name="mean", dtype=Float64),
        Field(name="country", dtype=String),
        Field(name="last_at", dtype=UnixTimestamp),
        Field(name="recent", dtype=Array(Float64)),
    ],
    source=frame("spend", {"card_id": ["c1"]}),
)
paired = FeatureView(
    name="paired",
    entities=[card, shop],
    ttl=timedelta(days=1),
    schema=[
        Field(name="card_id", dtype=String),
        Field(name="shop_id", dtype=Int64),
        Field(name="n", dtype=Int64),
        Field(name="most", dtype=Float64),
    ],
    source=frame("paired", {"card_id": ["c1"], "shop_id": [7]}),
)
fraud = FeatureService(name="fraud", features=[spend[["mean"]], paired[["n"]]])
nowhere = FeatureService(name="nowhere", features=[spend[["mean"]]])
store = store_with(key)
store.apply([card, shop, spend, paired, fraud, nowhere])
CARDS = [{"card_id": "c1"}, {"card_id": "c2"}, {"card_id": "nobody"}]


def values():
    """get_online_features gives the values of each row, and None for what is not there"""
    features = ["spend:n", "spend:total", "spend:mean", "spend:country"]
    found = store.get_online_features(features=features, entity_rows=CARDS).to_dict()
    must_equal(
        found,
        {
            "card_id": ["c1", "c2", "nobody"],
            "n": [2, 1, 0],
            "total": [30.0, 4.25, None],
            "mean": [15.0, 4.25, None],
            "country": ["DE", None, None],
        },
    )


def statuses():
    """the statuses tell a null that was said from what was never there"""
    response = store.get_online_features(features=["spend:country"], entity_rows=CARDS)
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    found = [FieldStatus.Name(each) for each in response.proto.results[1].statuses]
    must_equal(found, ["PRESENT", "NULL_VALUE", "NOT_FOUND"])


def types():
    """each value has the type of its feature: int64, double, string, a list of doubles"""
    features = ["spend:n", "spend:total", "spend:country", "spend:recent"]
    response = store.get_online_features(features=features, entity_rows=CARDS[:1])
    kinds = [result.values[0].WhichOneof("val") for result in response.proto.results[1:]]
    must_equal(kinds, ["int64_val", "double_val", "string_val", "double_list_val"])
    must_equal(list(response.proto.results[4].values[0].double_list_val.val), [19.5, 10.5])


def full_names():
    """full_feature_names puts the view before each feature"""
    features = ["paired:n", "spend:n"]
    rows = [{"card_id": "c1", "shop_id": 7}]
    found = store.get_online_features(features=features, entity_rows=rows, full_feature_names=True)
    must_equal(
        found.to_dict(), {"card_id": ["c1"], "shop_id": [7], "paired__n": [2], "spend__n": [2]}
    )


def service():
    """a feature service gives its features, and its transforms of what comes with the request"""
    rows = [{"card_id": "c1", "shop_id": 7, "amount": 45.0}]
    found = store.get_online_features(features=fraud, entity_rows=rows).to_dict()
    must_equal({name: found[name] for name in ("mean", "n", "ratio")}, {"mean": [15.0], "n": [2], "ratio": [3.0]})


def two_keys():
    """an entity of two join keys is found by both"""
    rows = [{"card_id": "c1", "shop_id": 7}, {"card_id": "c1", "shop_id": 8}]
    found = store.get_online_features(features=["paired:most", "paired:n"], entity_rows=rows)
    must_equal(
        found.to_dict(),
        {"card_id": ["c1", "c1"], "shop_id": [7, 8], "most": [19.5, None], "n": [2, 0]},
    )


def data_frame():
    """to_df and to_arrow make tables of it"""
    response = store.get_online_features(features=["spend:total"], entity_rows=CARDS)
    must_equal(list(response.to_df()["total"].fillna(-1)), [30.0, 4.25, -1.0])
    must_equal(response.to_arrow().column("card_id").to_pylist(), ["c1", "c2", "nobody"])


def many():
    """a thousand rows come back in their order"""
    rows = [{"card_id": "c1" if i % 3 == 0 else f"n{i}"} for i in range(1000)]
    found = store.get_online_features(features=["spend:n"], entity_rows=rows).to_dict()
    must_equal(found["n"], [2 if i % 3 == 0 else 0 for i in range(1000)])


def versions():
    """the versions of its views come with it when they are asked for"""
    response = store.get_online_features(
        features=["spend:n"], entity_rows=CARDS[:1], include_feature_view_version_metadata=True
    )
    found = [(each.name, each.version) for each in response.proto.metadata.feature_view_metadata]
    must_equal(found, [("spend", 1)])


def online_read():
    """online_read of the store, by which older clients ask, gives typed values and a time"""
    assert isinstance(store.config.online_store, RemoteOnlineStoreConfig)
    keys = [
        EntityKey(join_keys=["card_id"], entity_values=[Value(string_val=each)])
        for each in ("c1", "nobody")
    ]
    began = datetime.now(timezone.utc) - timedelta(minutes=5)
    wanted = ["total", "last_at", "recent"]
    rows = store._get_provider().online_read(store.config, spend, keys, wanted)
    (at, first), (_, second) = rows
    assert at is not None and at > began, f"the time is {at}"
    must_equal(first["total"].double_val, 30.0)
    must_equal(first["last_at"].unix_timestamp_val, 1767323046)
    must_equal(list(first["recent"].double_list_val.val), [19.5, 10.5])
    must_equal([each.WhichOneof("val") for each in second.values()], [None, None, None])


def unknown_view():
    """an unknown view raises FeatureViewNotFoundException"""
    read = lambda: store.get_online_features(features=["nope:x"], entity_rows=CARDS)
    raises(FeatureViewNotFoundException, read, '"nope"')


def unknown_service():
    """an unknown service raises FeatureServiceNotFoundException"""
    read = lambda: store.get_online_features(features=nowhere, entity_rows=CARDS)
    raises(FeatureServiceNotFoundException, read, '"nowhere"')


def unknown_feature():
    """an unknown feature raises an error that names those that there are"""
    read = lambda: store.get_online_features(features=["spend:x"], entity_rows=CARDS)
    raises(FeastError, read, "it has n, total, mean")


def missing_key():
    """a missing join key raises an error that names it"""
    read = lambda: store.get_online_features(features=["paired:n"], entity_rows=CARDS)
    raises(FeastError, read, "card_id and shop_id")


def no_scope():
    """a key that may not read raises FeastPermissionError"""
    other = store_with(narrow_key)
    read = lambda: other.get_online_features(features=["spend:n"], entity_rows=CARDS)
    raises(FeastPermissionError, read, "features:read")


def no_key():
    """a wrong key raises an error"""
    other = store_with("gly_live_wrong")
    read = lambda: other.get_online_features(features=["spend:n"], entity_rows=CARDS)
    raises(FeastError, read, "API key")


for each in (
    values,
    statuses,
    types,
    full_names,
    service,
    two_keys,
    data_frame,
    many,
    versions,
    online_read,
    unknown_view,
    unknown_service,
    unknown_feature,
    missing_key,
    no_scope,
    no_key,
):
    case(each)
print(json.dumps({"cases": count}))
