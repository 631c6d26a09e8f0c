"""The API document is the sum of what services declare, and contradictions show at once."""

import pytest

from aitrading.server.dashboard.api_document import ApiDocument


def fragment(path: str, method: str = "get") -> dict[str, object]:
    return {"paths": {path: {method: {"summary": path}}}, "components": {"schemas": {path: {}}}}


def document(*fragments: dict[str, object]) -> ApiDocument:
    return ApiDocument(title="t", version="1", fragments=fragments)


def test_fragments_are_merged_by_path_and_method() -> None:
    merged = document(fragment("/api/v1/ticks"), fragment("/api/v1/ticks", "post")).content
    assert set(merged["paths"]["/api/v1/ticks"]) == {"get", "post"}
    assert set(merged["components"]["schemas"]) == {"/api/v1/ticks"}


def test_two_services_cannot_answer_the_same() -> None:
    with pytest.raises(ValueError, match="two services answer"):
        document(fragment("/api/v1/ticks"), fragment("/api/v1/ticks"))


def test_operations_are_grouped_by_subject() -> None:
    merged = document(fragment("/api/v1/orders/{order}"), fragment("/docs"))
    groups = {group.name: group.operations for group in merged.view()}
    assert set(groups) == {"orders", "pages"}
    assert groups["orders"][0].anchor == "get-api-v1-orders-order"
